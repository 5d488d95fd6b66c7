use std::net::IpAddr;

use super::*;
use crate::digest::Digest;

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn flow(direction: Direction, network: &str, ports: &str) -> Flow {
    Flow {
        purpose: "work".parse().unwrap(),
        direction,
        protocol: FlowProtocol::Tcp,
        network: self::network(network),
        ports: Some(ports.parse().unwrap()),
        owner: None,
    }
}

fn peer(id: &str, address: &str, pins: &[&str]) -> Peer {
    let pin = |text: &&str| Digest::of(text.as_bytes());
    Peer {
        id: id.parse().unwrap(),
        protocol: PeerProtocol::Https,
        address: address.parse::<IpAddr>().unwrap(),
        port: 8443,
        pins: Pins { current: pin(&pins[0]), next: pins.get(1).map(pin) },
        purpose: Purpose::Repository,
        required: false,
    }
}

fn policy(peers: Vec<Peer>, flows: Vec<Flow>) -> Policy {
    Policy { peers, flows, ..Policy::default() }
}

#[test]
fn a_network_that_is_none_or_leaves_no_machine_cannot_be_written() {
    for text in [
        "",
        "x",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/08",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "0.0.0.0/0",
        "::/0",
        "127.0.0.1",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "255.255.255.255",
        "::1",
        "fe80::/10",
        "ff00::/8",
        "::ffff:10.0.0.1",
        "128.0.0.0/1",
        "64.0.0.0/2",
        "168.0.0.0/7",
        "8000::/1",
        "c000::/2",
        "::/64",
        "010.0.0.1",
    ] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
    for text in ["10.20.0.0/16", "10.20.0.5", "126.0.0.0/8", "192.0.0.0/4", "fc00::/7", "2000::/3", "2001:db8::1"] {
        assert_eq!(network(text).to_string(), text);
    }
}

#[test]
fn networks_cover_and_meet() {
    let (wide, narrow, other) = (network("10.20.0.0/16"), network("10.20.1.0/24"), network("10.21.0.0/16"));
    assert!(wide.covers(&narrow) && wide.covers(&wide) && !narrow.covers(&wide) && !wide.covers(&other));
    assert_eq!((wide.intersection(&narrow), narrow.intersection(&wide)), (Some(narrow), Some(narrow)));
    assert_eq!(wide.intersection(&other), None);
    assert!(!wide.covers(&network("fd00::/16")) && !network("fd00::/16").covers(&wide));
    assert!(wide.contains("10.20.255.255".parse().unwrap()) && !wide.contains("10.19.255.255".parse().unwrap()));
}

#[test]
fn ports_are_plain_numbers_in_order() {
    for text in ["", "0", "65536", "9-8", "08", "1-", "-1", "1-2-3", "+5"] {
        assert!(text.parse::<Ports>().is_err(), "{text}");
    }
    assert_eq!("8000-8010".parse::<Ports>().unwrap().to_string(), "8000-8010");
}

#[test]
fn an_intersection_allows_no_more_than_either() {
    let ours = policy(
        vec![peer("a", "10.0.0.1", &["x", "y"]), peer("b", "10.0.0.2", &["x"])],
        vec![flow(Direction::Out, "10.1.0.0/16", "1-100"), flow(Direction::In, "10.2.0.0/16", "5")],
    );
    let theirs = policy(
        vec![peer("c", "10.0.0.1", &["y", "z"]), peer("b", "10.0.0.2", &["other"])],
        vec![flow(Direction::Out, "10.1.2.0/24", "50-200"), flow(Direction::Out, "10.2.0.0/16", "5")],
    );
    let both = ours.intersection(&theirs);
    assert_eq!((ours.excess(&both), theirs.excess(&both)), (None, None));
    assert_eq!(both.peers, [peer("a", "10.0.0.1", &["y"])]);
    assert_eq!(both.flows, [flow(Direction::Out, "10.1.2.0/24", "50-100")]);
    assert!(ours.intersection(&Policy::default()).is_empty());
}

#[test]
fn what_a_policy_allows_beyond_another_is_named() {
    let outer = policy(vec![peer("a", "10.0.0.1", &["x"])], vec![flow(Direction::Out, "10.1.0.0/16", "1-100")]);
    let excess = |inner: Policy| outer.excess(&inner).unwrap();
    assert!(excess(policy(vec![peer("a", "10.0.0.1", &["y"])], vec![])).contains("peer a"));
    assert!(excess(policy(vec![], vec![flow(Direction::Out, "10.1.0.0/16", "1-101")])).contains("1-101"));
    assert!(excess(policy(vec![], vec![flow(Direction::In, "10.1.0.0/16", "1")])).contains("in tcp"));
    assert_eq!(excess(Policy { link: Link { dhcp: true, ..Link::default() }, ..Policy::default() }), "link traffic");
    let until = Some("2026-12-01T00:00:00Z".parse().unwrap());
    assert_eq!(excess(Policy { observe_until: until, ..Policy::default() }), "observe_until");
}

#[test]
fn a_tenant_only_narrows_its_own_flows() {
    let owner: crate::device::id::Owner = "tenant.north".parse().unwrap();
    let own = Flow { owner: Some(owner.clone()), ..flow(Direction::Out, "10.1.0.0/16", "443") };
    let operator = flow(Direction::Out, "10.9.0.0/16", "1-65535");
    let outer = policy(vec![], vec![own.clone(), operator.clone()]);
    let less = outer.narrowed_by(&owner, &[flow(Direction::Out, "10.1.7.0/24", "443")]).unwrap();
    assert_eq!(less.flows.len(), 2);
    assert!(outer.excess(&less).is_none() && less.flows.contains(&operator));
    assert_eq!(outer.narrowed_by(&owner, &[]).unwrap().flows, [operator]);
    for wider in [flow(Direction::Out, "10.0.0.0/15", "443"), flow(Direction::Out, "10.9.1.0/24", "1")] {
        assert!(matches!(outer.narrowed_by(&owner, &[wider]), Err(BoundaryError::Wider { .. })));
    }
}

#[test]
fn an_envelope_is_the_one_root_binds_and_nothing_goes_beyond_it() {
    let raw = br#"{"format":1,"jurisdiction":"LU","networks":["10.0.0.0/8"]}"#;
    let (lu, rs) = ("LU".parse().unwrap(), "RS".parse().unwrap());
    let envelope = Envelope::parse(raw, Some(Digest::of(raw)), lu).unwrap();
    assert!(matches!(Envelope::parse(raw, None, lu), Err(BoundaryError::Envelope { .. })));
    assert!(matches!(Envelope::parse(raw, Some(Digest::of(b"")), lu), Err(BoundaryError::Envelope { .. })));
    assert!(matches!(Envelope::parse(raw, Some(Digest::of(raw)), rs), Err(BoundaryError::Jurisdiction { .. })));
    let boundary = |jurisdiction, allow| Boundary { format: 1, name: "b".parse().unwrap(), jurisdiction, allow };
    let inside = policy(vec![peer("a", "10.0.0.1", &["x"])], vec![flow(Direction::In, "10.1.0.0/16", "1")]);
    envelope.admit(&boundary(lu, inside.clone())).unwrap();
    assert!(envelope.admit(&boundary(rs, inside)).is_err());
    let gateway = Link { gateways: vec!["192.0.2.1".parse().unwrap()], dhcp: false };
    let until = Some("2026-12-01T00:00:00Z".parse().unwrap());
    for outside in [
        policy(vec![peer("a", "192.0.2.1", &["x"])], vec![]),
        policy(vec![], vec![flow(Direction::In, "10.0.0.0/7", "1")]),
        Policy { link: gateway, ..Policy::default() },
        Policy { link: Link { dhcp: true, ..Link::default() }, ..Policy::default() },
        Policy { observe_until: until, ..Policy::default() },
    ] {
        assert!(matches!(envelope.admit(&boundary(lu, outside)), Err(BoundaryError::Wider { .. })));
    }
    let pinned = Envelope { pins: Some(vec![Digest::of(b"x")]), ..envelope };
    pinned.admit(&boundary(lu, policy(vec![peer("a", "10.0.0.1", &["x"])], vec![]))).unwrap();
    assert!(pinned.admit(&boundary(lu, policy(vec![peer("a", "10.0.0.1", &["x", "y"])], vec![]))).is_err());
}

#[test]
fn documents_that_break_a_rule_are_refused() {
    let name = "b".parse().unwrap();
    let parse = |allow: &str| {
        Boundary::parse(
            format!("{{\"format\":1,\"name\":\"b\",\"jurisdiction\":\"LU\",\"allow\":{allow}}}").as_bytes(),
            &name,
        )
    };
    let pin = Digest::of(b"x");
    let peer = |id: &str, at: &str| {
        format!(
            "{{\"id\":\"{id}\",\"protocol\":\"https\",\"address\":\"{at}\",\"port\":1,\"pins\":{{\"current\":\"{pin}\"}},\
             \"purpose\":\"broker\"}}"
        )
    };
    assert!(parse("{}").unwrap().allow.is_empty());
    parse(&format!("{{\"peers\":[{}]}}", peer("a", "10.0.0.1"))).unwrap();
    for allow in [
        "{\"surprise\":1}".to_owned(),
        format!("{{\"peers\":[{},{}]}}", peer("a", "10.0.0.1"), peer("a", "10.0.0.2")),
        format!("{{\"peers\":[{},{}]}}", peer("a", "10.0.0.1"), peer("b", "10.0.0.1")),
        format!("{{\"peers\":[{}]}}", peer("a", "127.0.0.1")),
        format!("{{\"peers\":[{}]}}", peer("a", "control.example")),
        r#"{"flows":[{"purpose":"x","direction":"out","protocol":"tcp","network":"10.0.0.0/8"}]}"#.to_owned(),
        r#"{"flows":[{"purpose":"x","direction":"out","protocol":"echo","network":"10.0.0.0/8","ports":"1"}]}"#
            .to_owned(),
    ] {
        assert!(parse(&allow).is_err(), "{allow}");
    }
    assert!(Boundary::parse(br#"{"format":1,"name":"c","jurisdiction":"LU","allow":{}}"#, &name).is_err());
    assert!(Boundary::parse(br#"{"format":2,"name":"b","jurisdiction":"LU","allow":{}}"#, &name).is_err());
}

#[test]
fn changes_name_every_entry_that_comes_or_goes() {
    let old = policy(vec![peer("a", "10.0.0.1", &["x"])], vec![flow(Direction::Out, "10.1.0.0/16", "1")]);
    let new = policy(vec![peer("a", "10.0.0.1", &["y"])], old.flows.clone());
    let told: Vec<_> = old.changes(&new).iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("- peer a https 10.0.0.1:8443 pins") && told[1].starts_with("+ peer a"), "{told:?}");
    assert!(old.changes(&old).is_empty());
}

fn owned(owner: &str, network: &str, ports: &str) -> Flow {
    Flow { owner: Some(owner.parse().unwrap()), ..flow(Direction::Out, network, ports) }
}

/// Single ports from 1 on, each a flow of its own.
fn single(count: u16) -> impl Iterator<Item = Flow> {
    (1..=count).map(|port| flow(Direction::Out, "10.1.0.0/16", &port.to_string()))
}

#[test]
fn a_tenant_with_257_flows_is_refused_and_another_beside_it_is_not() {
    let (greedy, innocent) = ("tenant.greedy".parse().unwrap(), "tenant.innocent".parse().unwrap());
    let theirs = [owned("tenant.greedy", "10.1.0.0/16", "1-1000"), owned("tenant.innocent", "10.1.0.0/16", "443")];
    let narrower = [flow(Direction::Out, "10.1.7.0/24", "443")];
    let too_many = |result: Result<Policy, BoundaryError>| matches!(result, Err(BoundaryError::TooMany { .. }));
    let outer = policy(vec![], theirs.to_vec());
    let many: Vec<_> = single(257).collect();
    assert!(too_many(outer.narrowed_by(&greedy, &many)) && too_many(outer.narrowed_by(&greedy, &many[..33])));
    let less = outer.narrowed_by(&greedy, &many[..32]).unwrap().narrowed_by(&innocent, &narrower).unwrap();
    assert_eq!(less.flows.len(), 33);
    // Together they may not be more than one policy holds: whoever adds none is never refused for that.
    let full = policy(vec![], single(230).chain(theirs).collect());
    assert!(too_many(full.narrowed_by(&greedy, &many[..26])));
    let full = full.narrowed_by(&greedy, &many[..25]).unwrap();
    full.check().unwrap();
    assert!(too_many(full.narrowed_by(&innocent, &[&narrower[..], &narrower].concat())));
    full.narrowed_by(&innocent, &narrower).unwrap().check().unwrap();
    let document = |flows: &[Flow]| serde_json::to_vec(&TenantFlows { format: 1, flows: flows.to_vec() }).unwrap();
    assert!(matches!(TenantFlows::parse(&document(&many)), Err(BoundaryError::TooMany { .. })));
    TenantFlows::parse(&document(&many[..32])).unwrap();
}

#[test]
fn an_intersection_of_too_many_pieces_takes_the_flows_of_those_that_were_cut_up_only() {
    let ranges = |from: u16, count: u16| {
        (0..count)
            .map(move |index| owned("tenant.greedy", "10.1.0.0/16", &format!("{}-{}", from + index, 1000 + index)))
    };
    let innocent = owned("tenant.innocent", "10.2.0.0/16", "443");
    let ours = policy(vec![], ranges(1, 32).chain([innocent.clone()]).collect());
    let site = policy(
        vec![],
        (0..32)
            .map(|index| flow(Direction::Out, &format!("10.1.{index}.0/24"), "1-2000"))
            .chain([innocent.clone()])
            .collect(),
    );
    ours.check().unwrap();
    site.check().unwrap();
    let left = in_force(&ours, None, Some(&site));
    left.check().unwrap();
    assert_eq!(left.flows, [innocent]);
    assert_eq!((ours.excess(&left), site.excess(&left)), (None, None));
    let few = policy(vec![], site.flows[..8].to_vec());
    assert_eq!(in_force(&ours, None, Some(&few)).flows.len(), 256, "as many as one policy holds");
}

#[test]
fn two_full_policies_that_cut_each_other_up_come_to_one_that_can_be_read() {
    let ranges = |step: u16| {
        (0..256).map(move |index| {
            flow(Direction::Out, "10.1.0.0/16", &format!("{}-{}", 1 + index * step, 10_000 + index * step))
        })
    };
    let (ours, theirs) = (policy(vec![], ranges(2).collect()), policy(vec![], ranges(3).collect()));
    let both = ours.intersection(&theirs);
    both.check().unwrap();
    assert_eq!((ours.excess(&both), theirs.excess(&both)), (None, None));
    assert_eq!(in_force(&ours, Some(&both), None), both);
}
