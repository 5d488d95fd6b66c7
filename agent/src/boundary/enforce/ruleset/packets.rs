//! The table `inet casemate`: packets in, out and forwarded.

use casemate_protocol::boundary::{Direction, Flow, FlowProtocol, Listen, Peer, Policy};

use super::address::{Named, family};
use super::{GROUP, Host, SNAPLEN, TABLE, Text};

/// What the kernel says by itself where IPv6 or multicast is up; dropped without a word about it.
const CHATTER: [&str; 2] = [
    "meta l4proto igmp",
    "icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report, \
     nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect }",
];
/// Answers to packets that belong to something allowed (RFC 1122 §3.2.2; redirects are not among them).
const ERRORS4: &str = "ct state related icmp type { destination-unreachable, time-exceeded, parameter-problem }";
const ERRORS6: &str =
    "ct state related icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }";
/// Of the connection's first packet on its way there, and of every later one on the same way.
const THERE: &str = "ct state { new, established } ct direction original";
/// Of what comes back.
const BACK: &str = "ct state established ct direction reply";

/// One side of the table.
struct Side {
    /// Its chain, and what counters are called after.
    chain: &'static str,
    /// What log entries say.
    prefix: &'static str,
}

const OUT: Side = Side { chain: "out", prefix: "casemate out" };
const IN: Side = Side { chain: "in", prefix: "casemate in" };
const FORWARD: Side = Side { chain: "forward", prefix: "casemate fwd" };

pub(super) fn table(text: &mut Text, policy: &Policy, host: &Host, named: &Named) {
    text.block(&format!("table inet {TABLE}"), |text| {
        text.counters(&["chatter_out", "ignored_in", "late_out"]);
        for side in [OUT, IN, FORWARD] {
            text.counters(&[&format!("dropped_{}", side.chain), &format!("observed_{}", side.chain)]);
        }
        named.set4(text);
        named.set6(text);
        text.passed(host);
        output(text, policy, host, named);
        input(text, policy, host, named);
        text.hooked("forward", "forward", |text| text.line("goto beyond_forward"));
        beyond(text, host, &OUT, |text| {
            CHATTER.iter().for_each(|chatter| text.line(&format!("{chatter} counter name chatter_out drop")));
            // The end of a connection that was allowed, and that nobody remembers any more.
            text.line("ip daddr @named4 ct state invalid tcp flags & (rst | ack) != 0 counter name late_out drop");
            text.line("ip6 daddr @named6 ct state invalid tcp flags & (rst | ack) != 0 counter name late_out drop");
        });
        beyond(text, host, &IN, |text| {
            CHATTER.iter().for_each(|chatter| text.line(&format!("{chatter} counter name ignored_in drop")));
            text.line("meta pkttype { broadcast, multicast, other } counter name ignored_in drop");
        });
        beyond(text, host, &FORWARD, |_| {});
    });
}

fn output(text: &mut Text, policy: &Policy, host: &Host, named: &Named) {
    text.hooked(OUT.chain, "output", |text| {
        text.line("oif \"lo\" accept");
        if policy.link.dhcp {
            text.line("udp sport 68 udp dport 67 ip daddr 255.255.255.255 accept");
            text.line("udp sport 68 udp dport 67 ip daddr @named4 accept");
        }
        asked_out(text, named);
        // A network's own broadcast address lies in it, and is not one machine.
        text.line("fib daddr type { broadcast, multicast, anycast } goto beyond_out");
        if let Some(agent) = host.agent {
            policy.peers.iter().for_each(|peer| peer_out(text, peer, agent));
            policy.listen.iter().for_each(|listen| listener_out(text, listen, agent));
            // Flows are for workloads. Packets without a socket, such as a last ACK, go on. Of root the kernel sends too.
            if agent != 0 {
                text.line(&format!("meta skuid {agent} goto beyond_out"));
            }
        }
        policy.flows.iter().for_each(|flow| flow_out(text, flow));
        text.line(&format!("ip daddr @named4 {ERRORS4} accept"));
        text.line(&format!("ip6 daddr @named6 {ERRORS6} accept"));
        text.line("goto beyond_out");
    });
}

fn input(text: &mut Text, policy: &Policy, host: &Host, named: &Named) {
    text.hooked(IN.chain, "input", |text| {
        text.line("iif \"lo\" accept");
        if policy.link.dhcp {
            text.line("meta nfproto ipv4 udp sport 67 udp dport 68 accept");
        }
        asked_in(text, named);
        if host.agent.is_some() {
            policy.peers.iter().for_each(|peer| peer_in(text, peer));
            policy.listen.iter().for_each(|listen| listener_in(text, listen));
        }
        policy.flows.iter().for_each(|flow| flow_in(text, flow));
        // Whichever router it was: the error quotes a packet that was allowed.
        text.line(&format!("{ERRORS4} accept"));
        text.line(&format!("{ERRORS6} accept"));
        text.line("goto beyond_in");
    });
}

/// Neighbour discovery, for named addresses only. Duplicate address detection has no source and is none of it.
fn asked_out(text: &mut Text, named: &Named) {
    for rule in solicit_out(named) {
        text.line(&rule);
    }
    if !named.v6.is_empty() {
        text.line("icmpv6 type nd-neighbor-advert ip6 hoplimit 255 ip6 daddr @named6 accept");
    }
    if named.routed_v6 {
        text.line("icmpv6 type nd-neighbor-advert ip6 hoplimit 255 ip6 daddr fe80::/10 accept");
    }
}

/// Asking for the link-layer address of what is named.
pub(super) fn solicit_out(named: &Named) -> impl Iterator<Item = String> {
    named.targets().map(|(network, target)| {
        format!(
            "icmpv6 type nd-neighbor-solicit ip6 hoplimit 255 ip6 saddr != :: \
             ip6 daddr {{ ff02::1:ff00:0/104, {network} }} {target} accept"
        )
    })
}

fn asked_in(text: &mut Text, named: &Named) {
    for (_, target) in named.targets() {
        text.line(&format!("icmpv6 type nd-neighbor-advert ip6 hoplimit 255 {target} accept"));
    }
    if !named.v6.is_empty() {
        text.line("icmpv6 type nd-neighbor-solicit ip6 hoplimit 255 ip6 saddr @named6 accept");
    }
    if named.routed_v6 {
        text.line("icmpv6 type nd-neighbor-solicit ip6 hoplimit 255 ip6 saddr fe80::/10 accept");
    }
}

fn peer_out(text: &mut Text, peer: &Peer, agent: u32) {
    let Ok(network) = peer.network() else { return };
    let to = format!("{} daddr {network} tcp dport {}", family(&network), peer.port);
    text.line(&format!("{to} ct state new meta skuid {agent} counter accept comment \"peer {}\"", peer.id));
    // Without the user: what ends a connection may have no socket any more.
    text.line(&format!("{to} ct state established ct direction original counter accept comment \"peer {}\"", peer.id));
}

fn peer_in(text: &mut Text, peer: &Peer) {
    let Ok(network) = peer.network() else { return };
    let from = format!("{} saddr {network} tcp sport {}", family(&network), peer.port);
    text.line(&format!("{from} {BACK} counter accept comment \"peer {}\"", peer.id));
}

fn listener_in(text: &mut Text, Listen { port, from }: &Listen) {
    for network in from {
        let from = format!("{} saddr {network} tcp dport {port}", family(network));
        text.line(&format!("{from} {THERE} counter accept comment \"listener\""));
    }
}

/// Whoever else has the port gets no connection: the first answer has to be the agent's. Later packets are judged
/// without the user, because until it accepts them connections belong to nobody.
fn listener_out(text: &mut Text, Listen { port, from }: &Listen, agent: u32) {
    for network in from {
        let to = format!("{} daddr {network} tcp sport {port} {BACK}", family(network));
        text.line(&format!("{to} tcp flags & syn == syn meta skuid {agent} counter accept comment \"listener\""));
        text.line(&format!("{to} tcp flags & syn == 0x0 counter accept comment \"listener\""));
    }
}

fn flow_out(text: &mut Text, flow: &Flow) {
    match flow.direction {
        Direction::Out => exchange(text, flow, ["daddr", "dport", "request"], THERE),
        Direction::In => exchange(text, flow, ["daddr", "sport", "reply"], BACK),
    }
}

fn flow_in(text: &mut Text, flow: &Flow) {
    match flow.direction {
        Direction::In => exchange(text, flow, ["saddr", "dport", "request"], THERE),
        Direction::Out => exchange(text, flow, ["saddr", "sport", "reply"], BACK),
    }
}

/// The flow's network at one end, its ports at one side or its half of `ping`.
fn exchange(text: &mut Text, flow: &Flow, [end, side, half]: [&str; 3], state: &str) {
    let network = &flow.network;
    let family = family(network);
    let protocol = match (flow.protocol, flow.ports) {
        (FlowProtocol::Tcp, Some(ports)) => format!("tcp {side} {ports}"),
        (FlowProtocol::Udp, Some(ports)) => format!("udp {side} {ports}"),
        (FlowProtocol::Echo, _) if network.is_ipv6() => format!("icmpv6 type echo-{half}"),
        (FlowProtocol::Echo, _) => format!("icmp type echo-{half}"),
        // In no policy that was checked: a flow of no ports is of nothing.
        (FlowProtocol::Tcp | FlowProtocol::Udp, None) => return,
    };
    text.line(&format!("{family} {end} {network} {protocol} {state} counter accept comment \"flow {}\"", flow.purpose));
}

/// What becomes of packets the policy does not name. `quiet` are the rules for what is not worth telling.
fn beyond(text: &mut Text, host: &Host, side: &Side, quiet: impl FnOnce(&mut Text)) {
    let Side { chain, prefix } = side;
    let told = format!("log group {GROUP} snaplen {SNAPLEN} prefix \"{prefix}\"");
    text.block(&format!("chain beyond_{chain}"), |text| {
        text.observed(host, &format!("{told} counter name observed_{chain}"));
        quiet(text);
        text.line(&format!("{told} counter name dropped_{chain} drop"));
    });
}
