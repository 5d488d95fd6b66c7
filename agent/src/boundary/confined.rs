//! What this process was started for.

use std::collections::BTreeSet;

use casemate_protocol::evidence::health;

use super::force::Force;
use super::process::Layers;

/// What this process was started for, and which layers keep it to that. By default nothing does: a loop that a command
/// hosts, or a test.
#[derive(Clone, Debug, Default)]
pub struct Confined {
    /// What it was confined to: where the state asks for something else the process has itself started anew.
    pub force: Option<Force>,
    /// Which layers hold.
    pub layers: Option<Layers>,
}

impl Confined {
    /// Whether this process can do what `wanted` asks.
    #[must_use]
    pub fn serves(&self, wanted: &Force) -> bool {
        let Some(force) = &self.force else { return true };
        if self.layers.is_none_or(|layers| layers.landlock_tcp) {
            return force.serves(wanted);
        }
        // Ports are not limited, so those of probes are no reason.
        let probes = BTreeSet::new();
        Force { probes: probes.clone(), ..force.clone() }.serves(&Force { probes, ..wanted.clone() })
    }

    /// As health has it; `host`: the kernel sees to the whole machine.
    #[must_use]
    pub fn layers(&self, host: bool) -> health::Layers {
        let Layers { seccomp, landlock, landlock_tcp } =
            self.layers.unwrap_or(Layers { seccomp: false, landlock: false, landlock_tcp: false });
        health::Layers { door: true, seccomp, landlock, landlock_tcp, host }
    }
}
