//! Whom a bundle is for, and when.

use std::collections::BTreeMap;

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Refusal, Verdict};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::time::Clock;
use casemate_tests::repository::{Site, clock, device, signed_at};

use crate::judge::{Shelf, appraise, verdict};

fn run(archive: &[u8], stored: Stored, clock: Clock) -> Result<Appraisal, Refusal> {
    appraise(archive, stored, clock, Audience::Appliance(device("lux-001")), &mut Shelf::default())
}

/// What an appliance stores after `verdict`.
fn after(site: &Site, verdict: &Verdict) -> Stored {
    let root = verdict.trust.roots.last().cloned().unwrap_or_else(|| site.root(1));
    Stored { root, floors: verdict.trust.floors.clone(), cached: verdict.trust.metadata.clone() }
}

#[test]
fn a_bundle_for_others_is_not_addressed() {
    let site = Site::sample();
    let error = verdict(&site, "lux-003", &site.issue().bundle().bytes()).unwrap_err();
    assert_eq!(error.code(), Code::NotAddressed);
    assert!(error.to_string().contains("lux-003"), "{error}");
}

#[test]
fn a_bundle_packed_for_others_is_not_addressed_although_the_repository_knows_the_appliance() {
    let site = Site::sample();
    let issue = site.issue();
    let mut bundle = issue.bundle();
    let at = bundle.position(&issue.content["appliances/lux-001.json"]);
    bundle.members.remove(at);
    assert_eq!(verdict(&site, "lux-001", &bundle.bytes()).unwrap_err().code(), Code::NotAddressed);
}

#[test]
fn a_stranger_of_the_same_name_is_not_meant() {
    let mut site = Site::sample();
    site.assignments.get_mut(&"lux-001".parse().unwrap()).unwrap().device = Digest::of(b"somebody else");
    let error = verdict(&site, "lux-001", &site.issue().bundle().bytes()).unwrap_err();
    assert!(matches!(error, Refusal::OtherDevice { .. }), "{error}");
    assert_eq!(error.code(), Code::AssignmentInvalid);
}

#[test]
fn a_root_of_another_jurisdiction_is_refused_before_anything_else() {
    let mut site = Site::sample();
    site.jurisdiction = "RS".parse().unwrap();
    let error = verdict(&site, "lux-003", &site.issue().bundle().bytes()).unwrap_err();
    assert_eq!(error.code(), Code::JurisdictionMismatch);
    assert!(error.to_string().contains("RS") && error.to_string().contains("LU"), "{error}");
}

#[test]
fn an_assignment_of_another_jurisdiction_is_refused() {
    let mut site = Site::sample();
    site.assignments.get_mut(&"lux-001".parse().unwrap()).unwrap().jurisdiction = "RS".parse().unwrap();
    let error = verdict(&site, "lux-001", &site.issue().bundle().bytes()).unwrap_err();
    assert!(matches!(error, Refusal::Jurisdiction { whose: "assignment", .. }), "{error}");
}

#[test]
fn an_assignment_under_anothers_name_or_of_a_newer_format_is_refused() {
    type Edit = fn(&mut casemate_protocol::device::assignment::Assignment);
    let faults: [Edit; 3] = [
        |assignment| assignment.appliance = "lux-002".parse().unwrap(),
        |assignment| assignment.format = 2,
        |assignment| assignment.groups.push("clinics".parse().unwrap()),
    ];
    for fault in faults {
        let mut site = Site::sample();
        fault(site.assignments.get_mut(&"lux-001".parse().unwrap()).unwrap());
        let error = verdict(&site, "lux-001", &site.issue().bundle().bytes()).unwrap_err();
        assert_eq!(error.code(), Code::AssignmentInvalid, "{error}");
    }
}

#[test]
fn an_expired_bundle_is_not_newly_applied() {
    let site = Site::sample();
    let late = Clock { wall: signed_at().plus_days(91), ..clock() };
    let error = run(&site.issue().bundle().bytes(), site.stored(), late).unwrap_err();
    assert_eq!(error.code(), Code::MetadataExpired);
}

#[test]
fn an_expired_owner_stops_only_itself() {
    let mut site = Site::sample();
    site.owner("group.labs").expires = signed_at();
    let late = Clock { wall: signed_at().plus_days(1), ..clock() };
    let audience = Audience::Appliance(device("lux-002"));
    let archive = site.issue().bundle().bytes();
    let verdict = appraise(&archive, site.stored(), late, audience, &mut Shelf::default()).unwrap().finish().unwrap();
    assert_eq!(verdict.unverified.len(), 1);
    assert_eq!(verdict.unverified[0].code, Code::MetadataExpired);
    assert_eq!(verdict.addressee.owners.iter().filter(|owner| owner.outcome.is_ok()).count(), 2);
}

#[test]
fn the_same_bundle_again_names_the_versions_that_stand_already() {
    let site = Site::sample();
    let archive = site.issue().bundle().bytes();
    let first = run(&archive, site.stored(), clock()).unwrap().finish().unwrap();
    let again = run(&archive, after(&site, &first), clock()).unwrap().finish().unwrap();
    assert_eq!(first.trust.timestamp, again.trust.timestamp);
    assert_eq!(first.trust.snapshot, again.trust.snapshot);
    assert_eq!(first.addressee.owners[0].version, again.addressee.owners[0].version);
}

#[test]
fn an_older_stick_after_a_newer_one_is_refused_as_a_rollback() {
    let mut site = Site::sample();
    let old = site.issue().bundle().bytes();
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"server_name: new.example\n");
    let new = run(&site.issue().bundle().bytes(), site.stored(), clock()).unwrap().finish().unwrap();
    assert_eq!(new.trust.timestamp.get(), 2);
    let error = run(&old, after(&site, &new), clock()).unwrap_err();
    assert_eq!(error.code(), Code::MetadataRollback);
    // Also where only the floors survived.
    let stored = Stored { cached: BTreeMap::new(), ..after(&site, &new) };
    assert_eq!(run(&old, stored, clock()).unwrap_err().code(), Code::MetadataRollback);
}

#[test]
fn roots_are_proven_even_where_the_rest_is_refused() {
    let mut site = Site::sample();
    site.root = 3;
    let late = Clock { wall: signed_at().plus_days(91), ..clock() };
    let audience = Audience::Appliance(device("lux-001"));
    let client = casemate_protocol::tuf::client::Client::new(
        site.stored(),
        casemate_protocol::tuf::client::Rules::Casemate,
        late,
    )
    .unwrap();
    let mut appraisal = Appraisal::new(client, audience);
    let bundle = site.issue().bundle();
    let mut refused = None;
    for (kind, content) in &bundle.members {
        let member = casemate_protocol::bundle::archive::Member { kind: kind.clone(), length: content.len() as u64 };
        refused = match appraisal.member(Some(&member)) {
            Ok(casemate_protocol::bundle::appraisal::Disposition::Read) => appraisal.content(content).err(),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused.unwrap().code(), Code::MetadataExpired);
    assert_eq!(appraisal.client().roots().len(), 2);
}
