//! What the next process is to be confined to: read before the state opens, because the kernel's rules bind only
//! threads that start after them.

use std::collections::BTreeSet;
use std::path::Path;

use casemate_protocol::boundary::{FORMAT, Policy};
use serde::{Deserialize, Serialize};

/// Its name in the hand-over folder.
pub const FILE: &str = "force.json";
/// Longest one read, bytes.
const MAX_LENGTH: u64 = 1024 * 1024;

/// What a process is confined to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Force {
    /// 1.
    pub format: u32,
    /// The policy in force.
    pub policy: Policy,
    /// TCP ports of probes on this machine.
    pub probes: BTreeSet<u16>,
}

impl Default for Force {
    fn default() -> Self {
        Self { format: FORMAT, policy: Policy::default(), probes: BTreeSet::new() }
    }
}

impl Force {
    /// What stands in `folder`. Whatever cannot be read counts as nothing: the process then asks to be started anew
    /// once the state, which is what decides, says otherwise.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let raw = if length <= MAX_LENGTH { std::fs::read(&path).ok() } else { None };
        let force = raw.and_then(|raw| serde_json::from_slice::<Self>(&raw).ok());
        force.filter(|force| force.format == FORMAT && force.policy.check().is_ok()).unwrap_or_default()
    }

    /// TCP ports that a process under this may connect to.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        self.policy.peers.iter().map(|peer| peer.port).chain(self.probes.iter().copied()).collect()
    }

    /// Whether a process that was confined to this can do all that `wanted` asks, under the same policy.
    #[must_use]
    pub fn serves(&self, wanted: &Self) -> bool {
        self.policy == wanted.policy && wanted.ports().is_subset(&self.ports())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_serves_fewer_probes_than_it_was_started_for_and_no_other_policy() {
        let started = Force { probes: BTreeSet::from([80, 443]), ..Force::default() };
        assert!(started.serves(&Force { probes: BTreeSet::from([80]), ..Force::default() }));
        assert!(!started.serves(&Force { probes: BTreeSet::from([81]), ..Force::default() }));
        let wider: Policy = serde_json::from_str(r#"{"peers":[],"flows":[],"link":{"dhcp":true}}"#).unwrap();
        assert!(!started.serves(&Force { policy: wider, ..started.clone() }));
    }

    #[test]
    fn what_cannot_be_read_counts_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Force::read(folder.path()), Force::default());
        for text in ["", "{}", r#"{"format":2,"policy":{"peers":[],"flows":[],"link":{}},"probes":[1]}"#] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(Force::read(folder.path()), Force::default(), "{text}");
        }
        let force = Force { probes: BTreeSet::from([80]), ..Force::default() };
        std::fs::write(folder.path().join(FILE), serde_json::to_vec(&force).unwrap()).unwrap();
        assert_eq!(Force::read(folder.path()), force);
    }
}
