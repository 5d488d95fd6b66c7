//! systemd's own layer for the agent's unit: `IPAddressAllow=` follows the peers.
//!
//! The unit denies every address off the machine. systemd judges by control group, whatever the process does, so it
//! has to know the peers too. Failing costs reachability, never safety: what is not allowed stays denied.

use std::path::Path;
use std::process::{Command, Stdio};

use casemate_protocol::boundary::Policy;

/// systemd's, where it runs the machine.
const SYSTEMD: &str = "/run/systemd/system";
/// Where Debian has it.
const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// A unit whose allowed addresses follow the peers.
#[derive(Clone, Debug)]
pub struct Unit(String);

impl Unit {
    /// The unit `name`.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// Lets the unit reach loopback and the peers, from now on and until the machine restarts.
    pub(super) fn follow(&self, policy: &Policy) {
        if !Path::new(SYSTEMD).is_dir() {
            return;
        }
        let done = Command::new(SYSTEMCTL)
            .args(["set-property", "--runtime", &self.0])
            .args(properties(policy))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !done.is_ok_and(|status| status.success()) {
            tracing::warn!(unit = self.0, "systemd did not take the peers' addresses: the agent does not reach them");
        }
    }
}

fn properties(policy: &Policy) -> Vec<String> {
    let mut addresses: Vec<_> = policy.peers.iter().map(|peer| peer.address).collect();
    addresses.sort();
    addresses.dedup();
    // The empty one forgets what was allowed before.
    let fixed = ["IPAddressAllow=".to_owned(), "IPAddressAllow=localhost".to_owned()];
    fixed.into_iter().chain(addresses.iter().map(|address| format!("IPAddressAllow={address}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allowed_before_is_forgotten_first() {
        assert_eq!(properties(&Policy::default()), ["IPAddressAllow=", "IPAddressAllow=localhost"]);
    }
}
