use casemate_protocol::boundary::{Direction, Flow, FlowProtocol, Link, Network, Peer, PeerProtocol, Pins, Purpose};
use proptest::prelude::*;

use super::*;

/// Peers, flows and gateways of both families, of each protocol and direction.
fn policy() -> Policy {
    let text = include_str!("policy.json");
    serde_json::from_str(text).unwrap()
}

fn host() -> Host {
    let devices = ["eth0", "br-lan", "wg0.7"].map(|name| name.parse().unwrap());
    Host { agent: Some(995), devices: Some(devices.to_vec()), observe: None }
}

#[test]
fn the_rules_of_a_policy_are_those_reviewed() {
    policy().check().unwrap();
    let rendered = Ruleset::render(&policy(), &host());
    assert_eq!(rendered.text(), include_str!("policy.nft"));
}

#[test]
fn the_rules_of_no_policy_at_all_are_those_reviewed() {
    let rendered = Ruleset::render(&Policy::default(), &Host::default());
    assert_eq!(rendered.text(), include_str!("nothing.nft"));
}

#[test]
fn nothing_is_accepted_without_a_policy_but_loopback() {
    let rendered = Ruleset::render(&Policy::default(), &host());
    let accepts =
        |line: &&str| line.ends_with("accept") && !line.contains("named") && !line.contains("ct state related");
    let lines: Vec<_> = rendered.text().lines().filter(accepts).map(str::trim).collect();
    assert_eq!(lines, ["oif \"lo\" accept", "iif \"lo\" accept"]);
    assert!(!rendered.text().contains("elements"));
}

#[test]
fn observing_is_bounded_by_signed_time_and_by_the_policy_and_told() {
    let observe =
        Observe { from: "2026-11-01T00:00:00Z".parse().unwrap(), until: "2026-12-01T00:00:00Z".parse().unwrap() };
    let rendered = Ruleset::render(&policy(), &Host { observe: Some(observe), ..host() });
    let span = format!("meta time >= {} meta time < {} ", observe.from.unix(), observe.until.unix());
    let observed: Vec<_> = rendered.text().lines().filter(|line| line.contains("counter name observed_")).collect();
    // Out, in and forward; resolution out and in; frames.
    assert_eq!(observed.len(), 6);
    assert!(observed.iter().all(|line| line.contains(&span) && line.contains("!= @passed ")));
    let end = format!("meta time >= {} add @passed ", observe.until.unix());
    assert_eq!(rendered.text().lines().filter(|line| line.trim().starts_with(&end)).count(), 6);
    assert_eq!(rendered.text().matches("set passed ").count(), 3);
    assert_eq!(observed.iter().filter(|line| line.contains("log group 53")).count(), 3);
    assert!(!Ruleset::render(&policy(), &host()).text().contains("meta time"));
}

#[test]
fn the_agent_reaches_peers_only_and_nobody_does_where_it_has_no_user() {
    let with = Ruleset::render(&policy(), &host());
    assert!(with.text().contains("meta skuid 995 goto beyond_out"));
    let without = Ruleset::render(&policy(), &Host { agent: None, ..host() });
    assert!(!without.text().contains("skuid") && !without.text().contains("comment \"peer"));
}

#[test]
fn sets_hold_no_network_inside_another() {
    let flows = ["10.20.0.0/16", "10.20.1.0/24", "10.20.1.7", "10.21.0.1"].map(|network| flow(network, "443"));
    let named = address::Named::of(&Policy { flows: flows.to_vec(), ..Policy::default() });
    assert_eq!(named.v4.iter().map(Network::to_string).collect::<Vec<_>>(), ["10.20.0.0/16", "10.21.0.1"]);
}

#[test]
fn device_names_that_could_mean_something_to_nft_are_refused() {
    for name in ["", "a b", "a\"b", "a;b", "a{", "a\nb", "a$b", "a*", "a/b", "sixteen-letters-", "\u{e9}th0"] {
        assert!(name.parse::<Device>().is_err(), "{name:?}");
    }
    for name in ["eth0", "enp3s0f1", "br-1234567890ab", "eth0.100", "vpn_a", "veth@if3"] {
        assert!(name.parse::<Device>().is_ok(), "{name:?}");
    }
}

#[test]
fn more_devices_than_one_chain_takes_stand_in_several() {
    let devices: Vec<Device> = (0..300).map(|index| format!("veth{index}").parse().unwrap()).collect();
    let rendered = Ruleset::render(&Policy::default(), &Host { devices: Some(devices.clone()), ..Host::default() });
    assert_eq!(rendered.text().matches("hook egress").count(), 3);
    assert!(devices.iter().all(|device| rendered.text().contains(&format!("\"{}\"", device.as_str()))));
}

fn flow(network: &str, ports: &str) -> Flow {
    Flow {
        purpose: "any".parse().unwrap(),
        direction: Direction::Out,
        protocol: FlowProtocol::Tcp,
        network: network.parse().unwrap(),
        ports: Some(ports.parse().unwrap()),
        owner: None,
    }
}

prop_compose! {
    fn networks()(wide in any::<bool>(), bits in any::<u128>(), length in 0u32..=128) -> Option<Network> {
        let text = if wide {
            let length = length.max(1);
            let first = (bits | 1 << 126) & u128::MAX << (128 - length);
            format!("{}/{length}", std::net::Ipv6Addr::from(first))
        } else {
            let length = (length % 33).max(1);
            let first = u32::try_from(bits >> 96).unwrap() & u32::MAX << (32 - length);
            format!("{}/{length}", std::net::Ipv4Addr::from(first))
        };
        text.parse().ok()
    }
}

prop_compose! {
    fn flows()(
        network in networks(), first in 1u16..65000, more in 0u16..500,
        inward in any::<bool>(), protocol in 0usize..3,
    ) -> Option<Flow> {
        let protocol = [FlowProtocol::Tcp, FlowProtocol::Udp, FlowProtocol::Echo][protocol];
        Some(Flow {
            purpose: "any".parse().unwrap(),
            direction: if inward { Direction::In } else { Direction::Out },
            protocol,
            network: network?,
            ports: (protocol != FlowProtocol::Echo).then(|| format!("{first}-{}", first + more).parse().unwrap()),
            owner: None,
        })
    }
}

prop_compose! {
    fn peers()(network in networks(), port in 1u16.., index in 0u32..1000) -> Option<Peer> {
        let pins = Pins { current: Digest::of(b"a key"), next: None };
        let (id, protocol, purpose) = (format!("peer-{index}").parse().unwrap(), PeerProtocol::Https, Purpose::Broker);
        Some(Peer { id, protocol, address: network?.first(), port, pins, purpose, required: false })
    }
}

prop_compose! {
    fn policies()(
        peers in prop::collection::vec(peers(), 0..4),
        flows in prop::collection::vec(flows(), 0..8),
        gateways in prop::collection::vec(networks(), 0..3),
        dhcp in any::<bool>(),
    ) -> Policy {
        let gateways = gateways.into_iter().flatten().map(|network| network.first()).collect();
        Policy { listen: None,
            peers: peers.into_iter().flatten().collect(),
            flows: flows.into_iter().flatten().collect(),
            link: Link { gateways, dhcp },
            observe_until: None,
        }
    }
}

/// What the kernel needs whatever the policy: neighbour discovery's own addresses.
const FIXED: [&str; 3] = ["::", "fe80::/10", "ff02::1:ff00:0/104"];

proptest! {
    #[test]
    fn no_rule_names_an_address_or_a_port_that_the_policy_does_not(policy in policies()) {
        let rendered = Ruleset::render(&policy, &host());
        let known: Vec<String> = policy.networks().map(|network| network.to_string()).collect();
        let ports: Vec<String> = policy.peers.iter().map(|peer| peer.port.to_string())
            .chain(policy.flows.iter().filter_map(|flow| flow.ports.map(|ports| ports.to_string())))
            .collect();
        for line in rendered.text().lines() {
            let dhcp = line.contains("port 68 ");
            prop_assert!(!dhcp || policy.link.dhcp, "{line}");
            let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
            for (index, word) in words.iter().enumerate() {
                let address = word.parse::<Network>().is_ok() || word.contains("::") || word.contains('/');
                let fixed = FIXED.contains(word) || dhcp && *word == "255.255.255.255";
                prop_assert!(!address || fixed || known.iter().any(|known| known == word), "{word} in {line}");
                if matches!(*word, "dport" | "sport") && !dhcp {
                    prop_assert!(ports.iter().any(|port| port == words[index + 1]), "{line}");
                }
            }
        }
    }

    #[test]
    fn every_packet_rule_that_accepts_names_an_address_or_quotes_an_allowed_packet(policy in policies()) {
        let rendered = Ruleset::render(&policy, &host());
        for line in rendered.text().lines().map(str::trim).filter(|line| line.contains(" accept")) {
            let names = ["saddr", "daddr", "@th,64,128", "\"lo\"", "ct state related"];
            let dhcp = policy.link.dhcp && line.contains("sport 67 udp dport 68");
            prop_assert!(dhcp || names.iter().any(|name| line.contains(name)), "{line}");
        }
    }
}
