//! The tables below packets: `arp casemate` for address resolution, `netdev casemate` for every frame that leaves.

use casemate_protocol::boundary::Policy;

use super::address::Named;
use super::packets::solicit_out;
use super::{Device, Host, TABLE, Text};

/// Devices of one chain; the kernel takes 256.
const DEVICES: usize = 128;

pub(super) fn arp(text: &mut Text, host: &Host, named: &Named) {
    text.block(&format!("table arp {TABLE}"), |text| {
        text.counters(&["dropped_out", "observed_out", "dropped_in", "observed_in"]);
        named.set4(text);
        text.passed(host);
        text.hooked("out", "output", |text| {
            questions(text);
            beyond(text, host, "out");
        });
        text.hooked("in", "input", |text| {
            text.line("arp saddr ip @named4 arp operation { request, reply } accept");
            beyond(text, host, "in");
        });
    });
}

/// Asking for named addresses, answering to named addresses. A probe for duplicates has no source (RFC 5227 §1.1).
fn questions(text: &mut Text) {
    text.line("arp saddr ip != 0.0.0.0 arp daddr ip @named4 arp operation { request, reply } accept");
}

/// What leaves a raw socket passes no other hook. Only destinations are judged here: fragments have no ports, and
/// packets of ordinary sockets were judged whole before.
pub(super) fn frames(text: &mut Text, policy: &Policy, host: &Host, devices: &[Device], named: &Named) {
    text.block(&format!("table netdev {TABLE}"), |text| {
        text.counters(&["dropped_out", "observed_out"]);
        named.set4(text);
        named.set6(text);
        text.passed(host);
        text.block("chain frames", |text| {
            questions(text);
            text.line("ip daddr @named4 accept");
            if policy.link.dhcp {
                text.line("ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept");
            }
            solicit_out(named).for_each(|rule| text.line(&rule));
            text.line("ip6 daddr @named6 accept");
            if named.routed_v6 {
                text.line("icmpv6 type nd-neighbor-advert ip6 hoplimit 255 ip6 daddr fe80::/10 accept");
            }
            beyond(text, host, "out");
        });
        for (index, devices) in devices.chunks(DEVICES).enumerate() {
            let names: Vec<_> = devices.iter().map(|device| format!("\"{}\"", Device::as_str(device))).collect();
            let hook = format!("egress devices = {{ {} }}", names.join(", "));
            text.hooked(&format!("out_{index}"), &hook, |text| text.line("goto frames"));
        }
    });
}

fn beyond(text: &mut Text, host: &Host, side: &str) {
    text.observed(host, &format!("counter name observed_{side}"));
    text.line(&format!("counter name dropped_{side} drop"));
}
