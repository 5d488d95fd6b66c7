//! The kernel's rules for a policy, as text for `nft -f -`. Pure: the same policy and host give the same text.
//!
//! Three tables, all named `casemate`; no other table is read or written. Each is deleted and made anew in the one
//! transaction that `nft -f` is, so there is no moment between two rulesets.
//!
//! | table | judges | allows |
//! |---|---|---|
//! | `inet` (`packets`) | packets in, out and forwarded | loopback; what the policy names; errors about that |
//! | `arp` (`link`) | address resolution of IPv4 | asking for and answering to named addresses |
//! | `netdev` (`link`) | every frame that leaves, also from raw sockets | frames to named addresses |
//!
//! No rule accepts a packet only because its connection is known: each names addresses and ports, so a narrower
//! policy cuts connections that run.

mod address;
mod host;
mod link;
mod packets;

use std::fmt::Write;

use casemate_protocol::boundary::Policy;
use casemate_protocol::digest::Digest;

pub use self::host::{Device, Host, Observe};

/// Name of every table written here.
pub const TABLE: &str = "casemate";
/// The families in which there is such a table, in the order they are made.
pub const FAMILIES: [&str; 3] = ["inet", "arp", "netdev"];
/// Name of the set in each table that holds something once a packet came after the end of observing.
pub(super) const PASSED: &str = "passed";
/// Its only key, whatever the packet.
const KEY: &str = "meta mark & 0x0";
/// NFLOG group of packets that are dropped or, while observing, let through beyond the policy.
pub const GROUP: u16 = 53;
/// Bytes of such a packet that are copied to whoever reads the group: all headers.
const SNAPLEN: u16 = 128;

/// A rendered ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset(String);

impl Ruleset {
    /// The rules for `policy` on `host`.
    #[must_use]
    pub fn render(policy: &Policy, host: &Host) -> Self {
        let named = address::Named::of(policy);
        let mut text = Text::default();
        text.line("# The boundary in force. Written by `casemate-agent boundary enforce`.");
        for family in host.families() {
            // Makes the deletion possible where there is no such table yet.
            text.line(&format!("table {family} {TABLE}"));
            text.line(&format!("delete table {family} {TABLE}"));
        }
        packets::table(&mut text, policy, host, &named);
        link::arp(&mut text, host, &named);
        if let Some(devices) = &host.devices {
            link::frames(&mut text, policy, host, devices, &named);
        }
        Self(text.text)
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

/// Lines of a ruleset, indented by the blocks they stand in.
#[derive(Default)]
struct Text {
    text: String,
    depth: usize,
}

impl Text {
    fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, "{:width$}{line}", "", width = self.depth * 2);
    }

    fn block(&mut self, head: &str, fill: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        fill(self);
        self.depth -= 1;
        self.line("}");
    }

    /// A chain of the hook of the same name.
    fn hooked(&mut self, chain: &str, hook: &str, fill: impl FnOnce(&mut Self)) {
        self.block(&format!("chain {chain}"), |text| {
            text.line(&format!("type filter hook {hook} priority filter; policy drop;"));
            fill(text);
        });
    }

    /// The kernel's own memory that observing is over: a clock set back later finds it.
    fn passed(&mut self, host: &Host) {
        if host.observe.is_some() {
            self.line(&format!("set {PASSED} {{ type mark; size 1; flags dynamic; }}"));
        }
    }

    /// While observing: `told` and accepted, unless the end was seen before.
    fn observed(&mut self, host: &Host, told: &str) {
        let Some(observe) = &host.observe else { return };
        let (from, until) = (observe.from.unix(), observe.until.unix());
        self.line(&format!("meta time >= {until} add @{PASSED} {{ {KEY} }}"));
        self.line(&format!("meta time >= {from} meta time < {until} {KEY} != @{PASSED} {told} accept"));
    }

    fn counters(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.line(&format!("counter {name} {{ }}")));
    }
}

#[cfg(test)]
mod tests;
