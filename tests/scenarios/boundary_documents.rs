//! Boundary documents in bundles: what the judge makes of them, for one appliance and for everybody.

use casemate_protocol::boundary::{BoundaryError, Envelope, Link, Policy};
use casemate_protocol::bundle::appraisal::{
    Audience, BoundaryRefusal, BoundaryVerdict, OwnerRefusal, Refusal, SignedBoundary, Verdict,
};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::profile::boundary_role;
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::time::Clock;
use casemate_tests::repository::{Site, clock, device, flow, peer, signed_at, tenant_flows};

use crate::judge::{Shelf, appraise, inspect, verdict};

fn judged(site: &Site, id: &str) -> Verdict {
    verdict(site, id, &site.issue().bundle().bytes()).unwrap()
}

fn signed(site: &Site, id: &str) -> SignedBoundary {
    judged(site, id).addressee.boundary.outcome.unwrap()
}

/// The refusal of appliance `lux-002`'s boundary, which leaves every owner alone.
fn refused(site: &Site) -> BoundaryRefusal {
    let verdict = judged(site, "lux-002");
    assert_eq!(verdict.addressee.owners.len(), 3);
    assert!(verdict.addressee.owners.iter().all(|owner| owner.outcome.is_ok()));
    verdict.addressee.boundary.outcome.unwrap_err()
}

/// What an appliance stores after `verdict`.
fn after(site: &Site, verdict: &Verdict) -> Stored {
    Stored { root: site.root(1), floors: verdict.trust.floors.clone(), cached: verdict.trust.metadata.clone() }
}

fn again(site: &Site, stored: Stored) -> Result<Verdict, Refusal> {
    let archive = site.issue().bundle().bytes();
    appraise(&archive, stored, clock(), Audience::Appliance(device("lux-002")), &mut Shelf::default())?.finish()
}

#[test]
fn a_bundle_brings_the_boundary_its_assignment_names() {
    let mut site = Site::fenced();
    let verdict = judged(&site, "lux-002");
    let issue = site.issue();
    let BoundaryVerdict { version, outcome } = verdict.addressee.boundary;
    let boundary = outcome.unwrap();
    let papers = boundary.papers.unwrap();
    assert_eq!((version.unwrap().get(), papers.name.as_str()), (1, "lan"));
    assert_eq!(papers.raw, issue.content["boundary/lan.json"]);
    assert_eq!(papers.envelope_raw, issue.content[Envelope::TARGET]);
    assert_eq!((papers.digest, Some(papers.envelope)), (Digest::of(&papers.raw), site.envelope));
    assert_eq!((&boundary.allow, &boundary.policy), (&*site.lan(), &boundary.allow));
    // What the enforcer has to see again is kept.
    assert_eq!(verdict.trust.metadata[&boundary_role()], issue.roles[&boundary_role()].1);
}

#[test]
fn an_assignment_that_names_no_boundary_allows_nothing() {
    let mut site = Site::fenced();
    site.assignments.values_mut().for_each(|assignment| assignment.boundary = None);
    let verdict = judged(&site, "lux-002");
    assert!(verdict.addressee.boundary.version.is_none());
    let boundary = verdict.addressee.boundary.outcome.unwrap();
    assert!(boundary.papers.is_none() && boundary.policy.is_empty() && boundary.allow.is_empty());
    assert!(!verdict.trust.metadata.contains_key(&boundary_role()));
}

#[test]
fn flows_of_a_tenant_the_appliance_does_not_serve_are_not_for_it() {
    let mut site = Site::fenced();
    let operator = flow("10.20.1.0/24", "8448", None);
    assert_eq!(signed(&site, "lux-001").allow.flows, [operator]);
    assert_eq!(signed(&site, "lux-002").allow, *site.lan());
}

#[test]
fn a_tenant_narrows_its_own_flows() {
    let mut site = Site::fenced();
    let less = flow("10.20.9.7", "443", None);
    site.owner("tenant.north").boundary = Some(tenant_flows(&[less]));
    let boundary = signed(&site, "lux-002");
    assert_eq!(boundary.allow, *site.lan(), "what the enforcer finds is the boundary's own");
    let north = flow("10.20.9.7", "443", Some("north"));
    assert_eq!(boundary.policy.flows, [flow("10.20.1.0/24", "8448", None), north]);
    // None at all is less, too.
    site.owner("tenant.north").boundary = Some(tenant_flows(&[]));
    assert_eq!(signed(&site, "lux-002").policy.flows.len(), 1);
}

#[test]
fn a_tenant_whose_document_is_wider_or_malformed_has_no_flows_and_is_refused_alone() {
    let wider = tenant_flows(&[flow("10.20.8.0/23", "443", None)]);
    let operators = tenant_flows(&[flow("10.20.1.0/24", "8448", None)]);
    for (raw, code) in [
        (wider, Code::BoundaryWider),
        (operators, Code::BoundaryWider),
        (b"{}".to_vec(), Code::BoundaryInvalid),
        (vec![b' '; 300 * 1024], Code::BoundaryInvalid),
    ] {
        let mut site = Site::fenced();
        site.owner("tenant.north").boundary = Some(raw);
        let verdict = judged(&site, "lux-002");
        let refused: Vec<_> = verdict.addressee.owners.iter().filter(|owner| owner.outcome.is_err()).collect();
        assert_eq!(refused.len(), 1);
        let refusal = refused[0].outcome.as_ref().unwrap_err();
        assert!(matches!(refusal, OwnerRefusal::Boundary { .. }), "{refusal}");
        assert_eq!((refused[0].owner.to_string().as_str(), refusal.code()), ("tenant.north", code), "{refusal}");
        let boundary = verdict.addressee.boundary.outcome.unwrap();
        assert_eq!(boundary.policy.flows, [flow("10.20.1.0/24", "8448", None)]);
        // Who does not serve this tenant does not notice.
        assert!(judged(&site, "lux-001").addressee.owners.iter().all(|owner| owner.outcome.is_ok()));
    }
}

#[test]
fn a_tenant_that_cannot_be_heard_keeps_what_it_had_as_far_as_the_boundary_goes() {
    let mut site = Site::fenced();
    site.owner("tenant.north").signers = vec!["somebody".into()];
    let boundary = signed(&site, "lux-002");
    let operator = flow("10.20.1.0/24", "8448", None);
    assert_eq!((boundary.policy.flows.as_slice(), boundary.unheard.len()), ([operator.clone()].as_slice(), 1));
    assert_eq!(boundary.policy_after(&Policy::default()).flows, std::slice::from_ref(&operator));
    let had = flow("10.20.9.0/25", "400-444", Some("north"));
    let others = flow("10.20.9.0/24", "445", Some("south"));
    let before = Policy { flows: vec![had, others], ..Policy::default() };
    let kept = flow("10.20.9.0/25", "443-444", Some("north"));
    assert_eq!(boundary.policy_after(&before).flows, [operator, kept]);
}

#[test]
fn a_boundary_beyond_the_envelope_is_refused_and_the_owners_are_not() {
    type Fault = fn(&mut Policy);
    let faults: [Fault; 4] = [
        |policy| policy.peers.push(peer("world", "192.0.2.9", 443)),
        |policy| policy.flows.push(flow("10.0.0.0/8", "1", None)),
        |policy| policy.link = Link { gateways: vec!["10.21.0.1".parse().unwrap()], dhcp: false },
        |policy| policy.observe_until = Some(signed_at().plus_days(1)),
    ];
    for fault in faults {
        let mut site = Site::fenced();
        fault(site.lan());
        let refusal = refused(&site);
        assert!(matches!(refusal, BoundaryRefusal::Document { .. }), "{refusal}");
        assert_eq!(refusal.code(), Code::BoundaryWider, "{refusal}");
    }
}

#[test]
fn the_envelope_is_the_one_root_binds() {
    let mut site = Site::fenced();
    site.boundaries().envelope.networks.push("10.30.0.0/16".parse().unwrap());
    assert_eq!(refused(&site).code(), Code::BoundaryWider);
    let mut site = Site::fenced();
    site.envelope = None;
    let refusal = refused(&site);
    assert_eq!(refusal.code(), Code::BoundaryWider);
    let none = BoundaryError::Envelope { expected: "no envelope".into(), found: "boundary lan".into() };
    assert_eq!(refusal.to_string(), format!("boundary/lan.json: {none}"));
}

#[test]
fn a_malformed_boundary_is_refused_and_the_owners_are_not() {
    type Fault = fn(&mut Site);
    let faults: [Fault; 5] = [
        |site| site.boundaries().edit = |boundary| boundary.format = 2,
        |site| site.boundaries().edit = |boundary| boundary.name = "wan".parse().unwrap(),
        |site| site.boundaries().edit = |boundary| boundary.jurisdiction = "RS".parse().unwrap(),
        |site| site.lan().peers.push(peer("control", "10.20.0.6", 8443)),
        // The length of another document is signed for it: its content cannot be the signed one.
        |site| {
            site.boundaries().edit_targets = |targets| {
                let length = targets.targets["boundary/lan.json"].length;
                let mut other = targets.targets["boundary/lan.json"].clone();
                other.length = length + 1;
                targets.targets.insert("boundary/lan.json".into(), other.clone());
                targets.targets.insert(
                    "boundary/wan.json".into(),
                    casemate_protocol::tuf::targets::TargetFile { length, ..other },
                );
            };
        },
    ];
    for fault in faults {
        let mut site = Site::fenced();
        fault(&mut site);
        let refusal = refused(&site);
        assert_eq!(refusal.code(), Code::BoundaryInvalid, "{refusal}");
    }
}

#[test]
fn a_boundary_nobody_signed_or_one_person_alone_is_refused_and_the_owners_are_not() {
    let mut site = Site::fenced();
    site.boundaries().signers = vec!["alice"];
    assert_eq!(refused(&site).code(), Code::MetadataUnsigned);
    // The same where the delegation itself asks for one person only.
    site.boundaries().threshold = 1;
    assert_eq!(refused(&site).code(), Code::ProfileViolation);
    // And where a key signs that is none of targets'.
    let mut site = Site::fenced();
    site.boundaries().keys = vec!["alice", "mallory"];
    site.boundaries().signers = vec!["alice", "mallory"];
    assert_eq!(refused(&site).code(), Code::ProfileViolation);
    let mut site = Site::fenced();
    site.boundaries().expires = signed_at();
    assert_eq!(refused(&site).code(), Code::MetadataExpired);
    // A boundary the role does not list, and a repository without the role.
    let mut site = Site::fenced();
    site.assignments.values_mut().for_each(|assignment| assignment.boundary = Some("wan".parse().unwrap()));
    let refusal = refused(&site);
    assert_eq!(refusal, BoundaryRefusal::Unlisted { target: "boundary/wan.json".into() });
    let mut site = Site::fenced();
    site.boundary = None;
    assert!(matches!(refused(&site), BoundaryRefusal::Unverified { .. }));
}

#[test]
fn a_broken_owner_does_not_keep_the_boundary_out() {
    let mut site = Site::fenced();
    site.owner("group.labs").signers = vec!["somebody".into()];
    let verdict = judged(&site, "lux-002");
    assert_eq!(verdict.addressee.owners.iter().filter(|owner| owner.outcome.is_err()).count(), 1);
    assert_eq!(verdict.addressee.boundary.outcome.unwrap().policy, *site.lan());
}

#[test]
fn a_boundary_never_comes_back_in_an_older_version_however_new_the_rest_is() {
    let mut site = Site::fenced();
    site.boundaries().version = 7;
    let first = judged(&site, "lux-002");
    // The snapshot names an older one: as a whole it is refused.
    site.version += 1;
    site.boundaries().version = 6;
    let error = again(&site, after(&site, &first)).unwrap_err();
    assert_eq!(error.code(), Code::MetadataRollback);
    // The same version says something else: only the boundary is refused.
    site.boundaries().version = 7;
    site.lan().peers.clear();
    let second = again(&site, after(&site, &first)).unwrap();
    assert_eq!(second.addressee.boundary.outcome.unwrap_err().code(), Code::MetadataForked);
    assert!(second.addressee.owners.iter().all(|owner| owner.outcome.is_ok()));
    // The snapshot forgets it.
    site.boundary = None;
    assert_eq!(again(&site, after(&site, &first)).unwrap_err().code(), Code::MetadataRollback);
    // The same one again is fine, beside a newer rest.
    let mut site = Site::fenced();
    site.boundaries().version = 7;
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"server_name: new.example\n");
    assert!(again(&site, after(&site, &first)).unwrap().addressee.boundary.outcome.is_ok());
}

#[test]
fn what_the_boundary_needs_and_is_not_there_is_missing() {
    let mut site = Site::fenced();
    site.owner("tenant.north").boundary = Some(tenant_flows(&[]));
    let issue = site.issue();
    for target in ["boundary/envelope.json", "boundary/lan.json", "tenants/north/boundary.json"] {
        let mut bundle = issue.bundle();
        let at = bundle.position(&issue.content[target]);
        bundle.members.remove(at);
        let error = verdict(&site, "lux-002", &bundle.bytes()).unwrap_err();
        assert!(matches!(error, Refusal::Missing { .. }), "{target}: {error}");
        assert_eq!(error.code(), Code::Missing);
        assert!(error.to_string().contains(&Digest::of(&issue.content[target]).to_string()), "{error}");
        assert_eq!(inspect(&site, &bundle.bytes()).unwrap_err().code(), Code::Missing);
    }
    let mut bundle = issue.bundle();
    bundle.members.remove(bundle.metadata("boundary"));
    let error = verdict(&site, "lux-002", &bundle.bytes()).unwrap_err();
    // Its documents are listed by nobody who verified.
    assert!(matches!(error, Refusal::Unexpected { .. }), "{error}");
    let documents = ["boundary/envelope.json", "boundary/lan.json"];
    documents.iter().for_each(|target| drop(bundle.members.remove(bundle.position(&issue.content[*target]))));
    let error = verdict(&site, "lux-002", &bundle.bytes()).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().contains("metadata/1.boundary.json")),
        (Code::Missing, true),
        "{error}"
    );
    // Not so for whoever lives in no boundary.
    let mut site = Site::fenced();
    site.assignments.values_mut().for_each(|assignment| assignment.boundary = None);
    let mut bundle = site.issue().bundle();
    let documents: Vec<_> = documents.iter().map(|target| bundle.position(&site.issue().content[*target])).collect();
    documents.into_iter().rev().for_each(|at| drop(bundle.members.remove(at)));
    bundle.members.remove(bundle.metadata("boundary"));
    assert!(verdict(&site, "lux-002", &bundle.bytes()).unwrap().addressee.boundary.outcome.is_ok());
}

#[test]
fn boundary_documents_stand_among_the_manifests_in_the_order_of_their_paths() {
    let site = Site::fenced();
    let issue = site.issue();
    let mut bundle = issue.bundle();
    let (envelope, lan) =
        (bundle.position(&issue.content[Envelope::TARGET]), bundle.position(&issue.content["boundary/lan.json"]));
    assert_eq!(envelope + 1, lan);
    bundle.members.swap(envelope, lan);
    assert_eq!(verdict(&site, "lux-002", &bundle.bytes()).unwrap_err().code(), Code::MemberUnexpected);
    // After the files it is too late.
    let mut bundle = issue.bundle();
    let document = bundle.members.remove(lan);
    bundle.members.push(document);
    assert_eq!(verdict(&site, "lux-002", &bundle.bytes()).unwrap_err().code(), Code::MemberUnexpected);
}

#[test]
fn everybody_a_bundle_addresses_has_a_boundary_of_its_own() {
    let mut site = Site::fenced();
    let less = Policy { peers: Vec::new(), ..site.lan().clone() };
    site.boundaries().policies.insert("wan".parse().unwrap(), less.clone());
    site.assignments.get_mut(&"lux-001".parse().unwrap()).unwrap().boundary = Some("wan".parse().unwrap());
    let inspection = inspect(&site, &site.issue().bundle().bytes()).unwrap();
    let policies: Vec<_> =
        inspection.addressees.into_iter().map(|addressee| addressee.boundary.outcome.unwrap().policy).collect();
    let served = Policy { flows: less.flows[..1].to_vec(), ..less };
    assert_eq!(policies, [served, site.lan().clone()]);
    assert!(inspection.trust.metadata.contains_key(&boundary_role()));
}

#[test]
fn a_bundle_for_others_says_nothing_about_this_appliances_boundary() {
    let mut site = Site::fenced();
    site.boundaries().signers = vec!["alice"];
    let error = verdict(&site, "lux-003", &site.issue().bundle().bytes()).unwrap_err();
    assert_eq!(error.code(), Code::NotAddressed);
}

#[test]
fn expiry_of_the_boundary_is_judged_like_every_other() {
    let mut site = Site::fenced();
    site.boundaries().expires = signed_at().plus_days(1);
    let late = Clock { wall: signed_at().plus_days(2), ..clock() };
    let archive = site.issue().bundle().bytes();
    let appraisal =
        appraise(&archive, site.stored(), late, Audience::Appliance(device("lux-001")), &mut Shelf::default());
    let verdict = appraisal.unwrap().finish().unwrap();
    assert_eq!(verdict.unverified[0].role, RoleName::foreign("boundary"));
    assert_eq!(verdict.addressee.boundary.outcome.unwrap_err().code(), Code::MetadataExpired);
    assert!(verdict.addressee.owners[0].outcome.is_ok());
}
