//! Bundles as version 1 wrote them: readable for ever.

use std::path::Path;

use casemate_protocol::boundary::offer::{Anchor, Contents, judge, write};
use casemate_protocol::boundary::{Direction, Envelope, Flow, FlowProtocol, Link, Peer, PeerProtocol, Pins, Purpose};
use casemate_protocol::bundle::appraisal::{Audience, Verdict};
use casemate_protocol::bundle::manifest::{Consumer, OnChange};
use casemate_protocol::bundle::probe::Probe;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::floors::Floors;
use casemate_tests::repository::{Site, clock, device, flow, peer, tenant_flows};

use crate::judge::{Shelf, appraise};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/golden-v1").join(name)).unwrap()
}

fn read(name: &str, audience: Audience, shelf: &mut Shelf) -> casemate_protocol::bundle::appraisal::Appraisal {
    let stored = Stored { root: golden("1.root.json"), ..Stored::default() };
    appraise(&golden(name), stored, clock(), audience, shelf).unwrap()
}

fn verdict(name: &str, appliance: &str) -> Verdict {
    read(name, Audience::Appliance(device(appliance)), &mut Shelf::default()).finish().unwrap()
}

#[test]
fn a_golden_bundle_means_what_it_meant() {
    let verdict = verdict("sample.casemate", "lux-002");
    assert_eq!(verdict.trust.root_version.get(), 2);
    let owners: Vec<_> = verdict.addressee.owners.iter().map(|owner| owner.owner.to_string()).collect();
    assert_eq!(owners, ["group.clinics", "group.labs", "tenant.north"]);
    let files = |index: usize| verdict.addressee.owners[index].outcome.as_ref().unwrap().manifest.files.len();
    assert_eq!((files(0), files(1), files(2)), (2, 1, 2));
}

#[test]
fn a_golden_bundle_with_a_manifest_for_one_appliance_and_a_presumed_object_means_what_it_meant() {
    let own = verdict("presumes.casemate", "lux-001");
    assert_eq!(own.addressee.owners[0].outcome.as_ref().unwrap().manifest.files.len(), 1);
    let inspection = read("presumes.casemate", Audience::Everybody, &mut Shelf::default()).inspect().unwrap();
    assert_eq!((inspection.addressees.len(), inspection.presumed.len()), (2, 1));
}

/// Everything a manifest can ask, and a manifest that is another owner's file as well.
fn gated() -> Vec<u8> {
    let mut site = Site::sample();
    site.version = 3;
    let clinics = site.owner("group.clinics");
    clinics.version = 3;
    clinics.edit = |manifest| {
        let apply = &mut manifest.apply;
        apply.window = Some("Mon,Wed 22:00-02:00".into());
        apply.deadline = Some("2m".into());
        apply.hold = Some("15s".into());
        apply.confirm = vec!["consumers".into()];
        apply.probes = vec![
            Probe::Http("http://[::1]:8008/health?all=1".into()),
            Probe::Tcp("127.0.0.1:8448".into()),
            Probe::Unix("/run/synapse/main.sock".into()),
            Probe::Unit("matrix-synapse.service".into()),
        ];
        let unit = Some("matrix-synapse.service".into());
        let ready = Some("http://127.0.0.1:8080/ready".into());
        let synapse = Consumer { unit, on_change: OnChange::Restart, ready };
        let follower = Consumer { unit: None, on_change: OnChange::None, ready: None };
        manifest.consumers = [("synapse".parse().unwrap(), synapse), ("follower".parse().unwrap(), follower)].into();
        manifest.files[0].consumer = Some("synapse".parse().unwrap());
    };
    let taken = site.issue().content["groups/clinics/manifest.json"].clone();
    site.owner("group.labs").files.insert("taken.json".into(), taken);
    site.issue().bundle().bytes()
}

#[test]
fn a_golden_bundle_with_conditions_means_what_it_meant_and_is_written_as_it_was() {
    let verdict = verdict("gated.casemate", "lux-002");
    let owners: Vec<_> = verdict.addressee.owners.iter().map(|owner| owner.outcome.as_ref().unwrap()).collect();
    let terms = &owners[0].terms;
    assert_eq!(terms.window.map(|window| window.to_string()).as_deref(), Some("Mon,Wed 22:00-02:00"));
    assert_eq!((terms.deadline_seconds, terms.hold_seconds), (120, Some(15)));
    assert_eq!(
        terms.awaited.iter().map(casemate_protocol::device::id::Name::as_str).collect::<Vec<_>>(),
        ["follower", "synapse"]
    );
    assert_eq!(owners[0].manifest.probes().unwrap().len(), 5, "four declared, one consumer's");
    assert!(owners[1].terms.is_plain() && owners[2].terms.is_plain());
    assert_eq!(owners[1].manifest.files.len(), 2);
    assert!(golden("gated.casemate") == gated(), "another byte stands in what is signed");
}

/// A site with everything a boundary can say, its tenant's document too.
fn fenced() -> Site {
    let mut site = Site::fenced();
    let observe = "2026-04-01T00:00:00Z".parse().unwrap();
    let envelope = &mut site.boundaries().envelope;
    (envelope.dhcp, envelope.observe) = (true, true);
    envelope.networks.push("fd00:20::/32".parse().unwrap());
    let control = peer("control", "10.20.0.5", 8443);
    envelope.pins = Some(vec![control.pins.current, Digest::of(b"next"), peer("broker", "10.20.0.6", 1).pins.current]);
    let bound = Digest::of(&site.issue().content[Envelope::TARGET]);
    site.envelope = Some(bound);
    let pins = Pins { next: Some(Digest::of(b"next")), ..control.pins };
    let broker = peer("broker", "10.20.0.6", 8883);
    let broker = Peer { protocol: PeerProtocol::Mqtts, purpose: Purpose::Broker, ..broker };
    let echo = Flow { protocol: FlowProtocol::Echo, ports: None, ..flow("fd00:20::/64", "1", None) };
    let inward = Flow { direction: Direction::In, protocol: FlowProtocol::Udp, ..flow("10.20.2.0/24", "514", None) };
    let lan = site.lan();
    lan.peers = vec![Peer { pins, required: true, ..control }, broker];
    lan.flows.extend([echo, inward]);
    lan.link = Link { gateways: vec!["10.20.0.1".parse().unwrap()], dhcp: true };
    lan.observe_until = Some(observe);
    site.owner("tenant.north").boundary = Some(tenant_flows(&[flow("10.20.9.7", "443", None)]));
    site.root = 2;
    site
}

#[test]
fn a_golden_boundary_and_its_offer_mean_what_they_meant_and_are_written_as_they_were() {
    let boundary = |name: &str| golden(&format!("../offer-v1/{name}"));
    let stored = Stored { root: boundary("1.root.json"), ..Stored::default() };
    let (bundle, offer) = (boundary("fenced.casemate"), boundary("offer"));
    let audience = Audience::Appliance(device("lux-002"));
    let verdict = appraise(&bundle, stored, clock(), audience, &mut Shelf::default()).unwrap().finish().unwrap();
    let signed = verdict.addressee.boundary.outcome.clone().unwrap();
    assert_eq!(
        signed.policy.entries(),
        String::from_utf8(boundary("entries.txt")).unwrap().lines().collect::<Vec<_>>()
    );
    let anchor = Anchor::parse(&boundary("anchor.json")).unwrap();
    let found = judge(&offer, &anchor, &Floors::default(), clock()).unwrap();
    assert_eq!(found.policy, signed.allow);
    let site = fenced();
    assert!(bundle == site.issue().bundle().bytes(), "another byte stands in what is signed");
    let roots = site.issue().roots.split_off(1);
    assert!(offer == write(&Contents::of(&verdict, &roots).unwrap()).unwrap(), "another byte stands in an offer");
}
