//! Bundles as version 1 wrote them: readable for ever.

use std::path::Path;

use casemate_protocol::bundle::appraisal::{Audience, Verdict};
use casemate_protocol::tuf::client::Stored;
use casemate_tests::repository::{clock, device};

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
