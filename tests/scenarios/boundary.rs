//! Boundaries in bundles, from the stick to the policy in force: what comes into force, what stays, what is told.

use std::net::TcpListener;

use casemate_agent::local_api::answer::{BoundaryReport, Narrower};
use casemate_agent::local_api::call::{Call, ImportSource};
use casemate_engine::boundary::TRIAL_SECONDS;
use casemate_protocol::boundary::offer::{Accepted, Anchor, judge};
use casemate_protocol::boundary::{Narrowing, Policy, in_force};
use casemate_protocol::code::Code;
use casemate_protocol::evidence::receipt::{BoundaryOutcome, Transport};
use casemate_protocol::tuf::floors::Floors;
use casemate_tests::appliance::Appliance;
use casemate_tests::namespace::{in_namespace, run};
use casemate_tests::repository::{Site, clock, device, flow, peer, signed_at, tenant_flows};

use crate::AGENT;

const HOMESERVER: &str = "synapse/homeserver.yaml";

/// An appliance enrolled as `id` at [`Site::fenced`].
fn enrolled(id: &str) -> (Appliance, Site) {
    let (appliance, mut site) = (Appliance::new(AGENT), Site::fenced());
    appliance.enrol(&mut site, id);
    (appliance, site)
}

/// Imports the site's bundle as it is now.
fn import(appliance: &Appliance, site: &Site) -> Code {
    appliance.import_one(&site.issue().bundle().bytes()).code
}

fn report(appliance: &Appliance) -> BoundaryReport {
    serde_json::from_value(appliance.ask(Call::Boundary { drops: false }).unwrap()).unwrap()
}

/// What the newest receipt says of the boundary.
fn told(appliance: &Appliance) -> BoundaryOutcome {
    appliance.receipts().pop().unwrap().predicate.boundary.unwrap()
}

fn handed_over(appliance: &Appliance, name: &str) -> Vec<u8> {
    std::fs::read(appliance.path("state/boundary").join(name)).unwrap()
}

/// What the host's enforcer makes of what the agent of `id` hands over.
fn enforced(appliance: &Appliance, site: &Site, id: &str) -> (Accepted, Policy) {
    let device = device(id);
    let anchor = Anchor::new(device.id, device.jurisdiction, appliance.keys().fingerprint(), &site.root(1));
    let accepted = judge(&handed_over(appliance, "offer"), &anchor, &Floors::default(), clock()).unwrap();
    let own = Narrowing::parse(&handed_over(appliance, "narrowing.json")).unwrap().allow;
    let policy = in_force(&accepted.policy, Some(&own), None);
    (accepted, policy)
}

/// What is in force, by the agent's word and by what the enforcer makes of it.
fn in_force_at(appliance: &Appliance, site: &Site, id: &str) -> Policy {
    let report = report(appliance);
    assert_eq!(report.policy, report.allow.digest());
    assert_eq!(appliance.health().boundary.unwrap().policy, report.policy);
    let (_, policy) = enforced(appliance, site, id);
    assert_eq!(policy.digest(), report.policy, "the enforcer comes to the same");
    report.allow
}

/// The sample's policy as `lux-001` has it: it does not serve tenant `north`.
fn of_lux_001(site: &mut Site) -> Policy {
    let mut policy = site.lan().clone();
    policy.flows.retain(|flow| flow.owner.is_none());
    policy.normal()
}

#[test]
fn a_bundle_brings_a_boundary_into_force_and_the_receipt_says_so() {
    let (appliance, mut site) = enrolled("lux-001");
    assert!(report(&appliance).allow.is_empty(), "nothing is allowed before a bundle says so");
    assert_eq!(import(&appliance, &site), Code::Applied);
    let policy = of_lux_001(&mut site);
    assert_eq!(in_force_at(&appliance, &site, "lux-001"), policy);
    let (before, after) = (Some(Policy::default().digest()), Some(policy.digest()));
    assert_eq!(told(&appliance), BoundaryOutcome { code: Code::Applied, before, after });
    let report = report(&appliance);
    let signed = report.signed.unwrap();
    assert_eq!((signed.name.as_str(), signed.version, Some(signed.envelope)), ("lan", 1, site.envelope));
    let items: Vec<_> = report.last_change.unwrap().changes.into_iter().map(|change| change.item).collect();
    assert_eq!(items, policy.entries(), "the change is told entry by entry");
    let (accepted, _) = enforced(&appliance, &site, "lux-001");
    assert_eq!((accepted.name.unwrap().as_str(), accepted.document), ("lan", Some(signed.document)));
}

#[test]
fn the_same_bundle_again_changes_nothing() {
    let (appliance, site) = enrolled("lux-002");
    assert_eq!(import(&appliance, &site), Code::Applied);
    let (journal, offer) = (appliance.status().journal, handed_over(&appliance, "offer"));
    assert_eq!(import(&appliance, &site), Code::AlreadyApplied);
    assert_eq!((appliance.status().journal, handed_over(&appliance, "offer")), (journal, offer));
    assert_eq!(appliance.receipts().len(), 1);
}

#[test]
fn a_bundle_that_says_the_same_of_the_boundary_leaves_it_alone() {
    let (appliance, mut site) = enrolled("lux-002");
    assert_eq!(import(&appliance, &site), Code::Applied);
    let offer = handed_over(&appliance, "offer");
    site.reissue("group.clinics", HOMESERVER, b"retention: 30\n");
    assert_eq!(import(&appliance, &site), Code::Applied);
    assert!(appliance.receipts().pop().unwrap().predicate.boundary.is_none_or(|told| told.before == told.after));
    let policy = site.lan().clone().normal();
    assert_eq!(in_force_at(&appliance, &site, "lux-002"), policy);
    // The enforcer may be shown it again, or not: what it finds is the same.
    assert!(handed_over(&appliance, "offer") == offer || enforced(&appliance, &site, "lux-002").1 == policy);
}

#[test]
fn narrowing_holds_at_once_and_is_told() {
    let (appliance, mut site) = enrolled("lux-001");
    assert_eq!(import(&appliance, &site), Code::Applied);
    let before = of_lux_001(&mut site);
    site.refence(|policy| {
        policy.peers.clear();
        policy.flows[0] = flow("10.20.1.7", "8448", None);
    });
    assert_eq!(import(&appliance, &site), Code::Applied);
    let after = of_lux_001(&mut site);
    assert_eq!(in_force_at(&appliance, &site, "lux-001"), after);
    let (code, digests) = (Code::Applied, [&before, &after].map(|policy| Some(policy.digest())));
    assert_eq!(told(&appliance), BoundaryOutcome { code, before: digests[0], after: digests[1] });
    // An assignment that names no boundary any more leaves nothing.
    site.version += 1;
    site.assignments.values_mut().for_each(|assignment| assignment.boundary = None);
    assert_eq!(import(&appliance, &site), Code::Applied);
    assert!(in_force_at(&appliance, &site, "lux-001").is_empty());
}

#[test]
fn a_boundary_that_is_refused_leaves_the_one_before_and_the_owners_alone() {
    type Fault = fn(&mut Site);
    let faults: [(Fault, Code); 6] = [
        (|site| site.boundaries().signers = vec!["alice"], Code::MetadataUnsigned),
        (|site| site.boundaries().threshold = 1, Code::ProfileViolation),
        (|site| site.lan().peers.push(peer("world", "192.0.2.9", 443)), Code::BoundaryWider),
        (|site| site.boundaries().envelope.networks.push("192.0.2.0/24".parse().unwrap()), Code::BoundaryWider),
        (
            |site| site.boundaries().edit = |boundary| boundary.jurisdiction = "RS".parse().unwrap(),
            Code::BoundaryInvalid,
        ),
        (|site| site.boundaries().edit = |boundary| boundary.format = 2, Code::BoundaryInvalid),
    ];
    for (fault, code) in faults {
        let (appliance, mut site) = enrolled("lux-001");
        assert_eq!(import(&appliance, &site), Code::Applied);
        let policy = of_lux_001(&mut site);
        let offer = handed_over(&appliance, "offer");
        let good = site.boundary.clone();
        fault(&mut site);
        site.refence(|_| {});
        site.reissue("group.clinics", HOMESERVER, b"retention: 30\n");
        assert_eq!(import(&appliance, &site), code);
        assert_eq!(appliance.current("groups/clinics/synapse/homeserver.yaml").unwrap(), b"retention: 30\n");
        assert_eq!(in_force_at(&appliance, &site, "lux-001"), policy);
        assert_eq!(handed_over(&appliance, "offer"), offer);
        let digest = Some(policy.digest());
        assert_eq!(told(&appliance), BoundaryOutcome { code, before: digest, after: digest });
        let receipt = appliance.receipts().pop().unwrap().predicate;
        assert_eq!((receipt.code, receipt.owners[0].code), (code, Code::Applied));
        // The same again says the same, and a good one comes into force after it.
        assert_eq!(import(&appliance, &site), code, "again");
        assert_eq!(appliance.receipts().len(), 2);
        site.boundary = good;
        site.boundaries().version = 2;
        site.refence(|policy| policy.peers.clear());
        assert_eq!(import(&appliance, &site), Code::Applied);
        assert!(in_force_at(&appliance, &site, "lux-001").peers.is_empty());
    }
}

#[test]
fn a_tenant_narrows_its_own_flows_and_cannot_widen_them() {
    let (appliance, mut site) = enrolled("lux-002");
    site.owner("tenant.north").boundary = Some(tenant_flows(&[flow("10.20.9.7", "443", None)]));
    assert_eq!(import(&appliance, &site), Code::Applied);
    let operator = flow("10.20.1.0/24", "8448", None);
    let north = flow("10.20.9.7", "443", Some("north"));
    assert_eq!(in_force_at(&appliance, &site, "lux-002").flows, [operator.clone(), north]);
    // Its role cannot be read: it keeps what it had.
    site.owner("tenant.north").signers = vec!["somebody".into()];
    site.reissue("tenant.north", "app/config.toml", b"answer = 43\n");
    assert_eq!(import(&appliance, &site), Code::OwnerUnverified);
    assert_eq!(in_force_at(&appliance, &site, "lux-002").flows.len(), 2);
    // It asks for more than it has: it has nothing, and its new configuration does not come either.
    site.owner("tenant.north").signers = vec![];
    site.owner("tenant.north").boundary = Some(tenant_flows(&[flow("10.20.8.0/23", "443", None)]));
    site.reissue("tenant.north", "app/config.toml", b"answer = 44\n");
    assert_eq!(import(&appliance, &site), Code::BoundaryWider);
    assert_eq!(in_force_at(&appliance, &site, "lux-002").flows, [operator]);
    assert_eq!(appliance.current("tenants/north/app/config.toml").unwrap(), b"answer = 42\n");
    let receipt = appliance.receipts().pop().unwrap().predicate;
    assert_eq!(receipt.owners.iter().filter(|owner| owner.code == Code::BoundaryWider).count(), 1);
    assert_eq!(receipt.boundary.unwrap().code, Code::Applied);
}

/// Imports, and waits for the end of a trial.
fn import_and_wait(appliance: &Appliance, site: &Site) -> Code {
    appliance.carry(&[("bundle.casemate", &site.issue().bundle().bytes())]);
    let source = ImportSource::Path(appliance.path("stick"));
    let report =
        appliance.ask(Call::Import { source, transport: Transport::Local, wait: true, dry_run: false }).unwrap();
    serde_json::from_value(report["code"].clone()).unwrap()
}

/// Whatever the boundary is like, the next stick is read: one whose required peer is nowhere, then one that helps.
#[test]
fn a_boundary_that_leads_nowhere_is_given_up_and_the_next_stick_is_the_way_back() {
    let _ran = in_namespace(|| {
        let (appliance, mut site) = enrolled("lux-001");
        assert_eq!(import(&appliance, &site), Code::Applied);
        let old = of_lux_001(&mut site);
        site.refence(|policy| {
            policy.peers =
                vec![casemate_protocol::boundary::Peer { required: true, ..peer("wrong", "10.20.0.99", 8443) }];
            policy.flows[0] = flow("10.20.0.0/23", "8000-9000", None);
        });
        assert_eq!(import(&appliance, &site), Code::Probation);
        let new = of_lux_001(&mut site);
        assert_eq!(in_force_at(&appliance, &site, "lux-001"), new);
        assert!(report(&appliance).trial.is_some() && appliance.health().boundary.unwrap().trial);
        assert_eq!(appliance.receipts().len(), 1, "the receipt waits for the trial");
        // Time passes, the wall clock jumps: only the machine's own time counts.
        appliance.set_clock("2027-01-01T00:00:00Z".parse().unwrap());
        assert!(report(&appliance).trial.is_some());
        appliance.pass(TRIAL_SECONDS);
        let shared = new.intersection(&old);
        assert_eq!(in_force_at(&appliance, &site, "lux-001"), shared);
        assert!(shared.peers.is_empty() && !shared.flows.is_empty());
        let digests = [&old, &shared].map(|policy| Some(policy.digest()));
        let expected = BoundaryOutcome { code: Code::BoundaryUnreached, before: digests[0], after: digests[1] };
        assert_eq!(told(&appliance), expected);
        let standing = report(&appliance);
        assert_eq!((standing.narrowed_by, standing.trial), (vec![Narrower::Fallback], None));
        // The same again is not tried again.
        appliance.set_clock(signed_at());
        assert_eq!(import(&appliance, &site), Code::FailedBefore);
        assert_eq!(in_force_at(&appliance, &site, "lux-001"), shared);
        // The next stick helps.
        site.refence(|policy| policy.peers.clear());
        site.reissue("group.clinics", HOMESERVER, b"retention: 30\n");
        assert_eq!(import(&appliance, &site), Code::Applied);
        assert_eq!(in_force_at(&appliance, &site, "lux-001"), of_lux_001(&mut site));
    });
}

#[test]
fn a_wider_boundary_stays_once_its_required_peer_was_reached() {
    let _ran = in_namespace(|| {
        let _up = run("ip", &["link", "set", "lo", "up"]) + &run("ip", &["address", "add", "10.20.0.7", "dev", "lo"]);
        let listener = TcpListener::bind("10.20.0.7:8443").unwrap();
        let (appliance, mut site) = enrolled("lux-001");
        site.lan().peers =
            vec![casemate_protocol::boundary::Peer { required: true, ..peer("control", "10.20.0.7", 8443) }];
        assert_eq!(import_and_wait(&appliance, &site), Code::Applied);
        assert_eq!(in_force_at(&appliance, &site, "lux-001"), of_lux_001(&mut site));
        assert_eq!(told(&appliance).code, Code::Applied);
        assert!(listener.accept().is_ok(), "somebody came");
    });
}

#[test]
fn the_enforcer_is_shown_every_root_however_it_came() {
    let (appliance, mut site) = enrolled("lux-001");
    assert_eq!(import(&appliance, &site), Code::Applied);
    // With a bundle that changes nothing else, then with one that does.
    site.root = 2;
    assert_eq!(import(&appliance, &site), Code::AlreadyApplied);
    site.refence(|policy| policy.peers.clear());
    let mut bundle = site.issue().bundle();
    bundle.members.drain(..2);
    assert_eq!(appliance.import_one(&bundle.bytes()).code, Code::Applied);
    assert_eq!(enforced(&appliance, &site, "lux-001").0.root_version.get(), 2);
    site.root = 4;
    site.refence(|policy| policy.flows.clear());
    assert_eq!(import(&appliance, &site), Code::Applied);
    let (accepted, policy) = enforced(&appliance, &site, "lux-001");
    assert_eq!((accepted.root_version.get(), accepted.version.unwrap().get()), (4, 3));
    assert!(policy.is_empty());
}

#[test]
fn what_was_handed_over_is_there_again_after_every_start() {
    let (appliance, mut site) = enrolled("lux-001");
    assert_eq!(import(&appliance, &site), Code::Applied);
    let names = ["offer", "narrowing.json"];
    let before = names.map(|name| handed_over(&appliance, name));
    std::fs::remove_file(appliance.path("state/boundary/offer")).unwrap();
    std::fs::write(appliance.path("state/boundary/narrowing.json"), b"torn").unwrap();
    assert_eq!(in_force_at(&appliance, &site, "lux-001"), of_lux_001(&mut site));
    assert_eq!(names.map(|name| handed_over(&appliance, name)), before);
}
