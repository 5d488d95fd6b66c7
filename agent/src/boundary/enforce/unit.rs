//! What systemd is told: `IPAddressAllow=` and `SocketBindAllow=` of the agent's unit follow the policy, and while observing the enforcer is
//! started again from time to time.
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

/// Starts the enforcer again every hour while it runs.
const TIMER: &str = "casemate-boundary.timer";

/// A unit whose allowed addresses and port follow the policy.
#[derive(Clone, Debug)]
pub struct Unit(String);

impl Unit {
    /// The unit `name`.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// Lets the unit reach loopback and the peers, and be reached at its port, from now on and until the machine restarts.
    pub(super) fn follow(&self, policy: &Policy) {
        let words = ["set-property", "--runtime", &self.0].map(str::to_owned);
        if !systemctl(words.into_iter().chain(properties(policy))) {
            tracing::warn!(unit = self.0, "systemd did not take the peers' addresses: the agent does not reach them");
        }
        // By itself: it counts at the unit's next start only, and must not cost the addresses.
        let words = ["set-property", "--runtime", &self.0].map(str::to_owned);
        if !systemctl(words.into_iter().chain(ports(policy))) {
            tracing::warn!(unit = self.0, "systemd did not take the listener's port: the agent cannot listen");
        }
    }
}

/// Has the enforcer look at the clock every hour, if it is `observing`: only what it saw is remembered when the machine
/// starts anew.
pub(super) fn look_again(observing: bool) {
    let verb = if observing { "start" } else { "stop" };
    // Not waited for: at boot the timer is ordered after this very run.
    if !systemctl([verb, "--no-block", TIMER].map(str::to_owned)) {
        tracing::warn!(unit = TIMER, "systemd neither started nor stopped it");
    }
}

/// Whether systemd did what it was told; yes where it does not run the machine.
fn systemctl(words: impl IntoIterator<Item = String>) -> bool {
    if !Path::new(SYSTEMD).is_dir() {
        return true;
    }
    let done = Command::new(SYSTEMCTL)
        .args(words)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|status| status.success())
}

fn properties(policy: &Policy) -> Vec<String> {
    let peers = policy.peers.iter().map(|peer| peer.address.to_string());
    let listen = policy.listen.iter().flat_map(|listen| listen.from.iter().map(ToString::to_string));
    let mut addresses: Vec<String> = peers.chain(listen).collect();
    addresses.sort();
    addresses.dedup();
    // The empty one forgets what was allowed before.
    let fixed = ["IPAddressAllow=".to_owned(), "IPAddressAllow=localhost".to_owned()];
    fixed.into_iter().chain(addresses.iter().map(|address| format!("IPAddressAllow={address}"))).collect()
}

/// The one port that may be bound.
fn ports(policy: &Policy) -> Vec<String> {
    let listen = policy.listen.iter().map(|listen| format!("SocketBindAllow=tcp:{}", listen.port));
    ["SocketBindAllow=".to_owned()].into_iter().chain(listen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allowed_before_is_forgotten_first() {
        assert_eq!(properties(&Policy::default()), ["IPAddressAllow=", "IPAddressAllow=localhost"]);
        assert_eq!(ports(&Policy::default()), ["SocketBindAllow="]);
    }

    #[test]
    fn a_listener_has_its_port_and_its_networks() {
        let listen = serde_json::json!({ "port": 8443, "from": ["10.20.0.0/16"] });
        let policy: Policy = serde_json::from_value(serde_json::json!({ "listen": listen })).unwrap();
        assert_eq!(properties(&policy).last().unwrap(), "IPAddressAllow=10.20.0.0/16");
        assert_eq!(ports(&policy), ["SocketBindAllow=", "SocketBindAllow=tcp:8443"]);
    }
}
