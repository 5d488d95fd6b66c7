//! Bundles as version 1 wrote them: readable for ever.

use std::path::Path;

use casemate_protocol::bundle::appraisal::{Audience, Verdict};
use casemate_protocol::bundle::manifest::{Consumer, OnChange};
use casemate_protocol::bundle::probe::Probe;
use casemate_protocol::tuf::client::Stored;
use casemate_tests::repository::{Site, clock, device};

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
