//! From enrolment to a committed generation and a verified receipt.

use casemate_agent::local_api::call::{Call, ImportSource};
use casemate_protocol::code::Code;
use casemate_protocol::evidence::health::{self, HealthState};
use casemate_protocol::evidence::receipt::{self, ClockQuality, Transport};
use casemate_tests::appliance::{Appliance, files_below};
use casemate_tests::repository::Site;

use crate::AGENT;

const HOMESERVER: &str = "groups/clinics/synapse/homeserver.yaml";

/// An appliance enrolled as `lux-001` and the site that governs it.
pub(crate) fn enrolled() -> (Appliance, Site) {
    let (appliance, mut site) = (Appliance::new(AGENT), Site::sample());
    appliance.enrol(&mut site, "lux-001");
    (appliance, site)
}

#[test]
fn a_bundle_becomes_generation_one_and_a_receipt_that_verifies() {
    let (appliance, site) = enrolled();
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(report.code, Code::Applied, "{report:?}");
    assert_eq!(appliance.current(HOMESERVER).unwrap(), b"server_name: clinics.example\n");

    let receipts = appliance.receipts();
    let [statement] = receipts.as_slice() else { panic!("{receipts:?}") };
    let receipt = &statement.predicate;
    assert_eq!((receipt.code, receipt.sequence, receipt.count), (Code::Applied, 1, 1));
    assert_eq!((receipt.clock, receipt.root_version, receipt.demo), (ClockQuality::Plausible, 1, false));
    assert_eq!((statement.subject[0].name.as_str(), receipt.transport), ("timestamp/1", Some(Transport::Stick)));
    let [owner] = receipt.owners.as_slice() else { panic!("{receipt:?}") };
    assert_eq!((owner.id.to_string().as_str(), owner.code), ("group.clinics", Code::Applied));
    assert_eq!((owner.before.as_ref(), owner.after.as_ref().map(|after| after.number)), (None, Some(1)));

    let status = appliance.status();
    assert_eq!((status.timestamp_version, status.owners.len()), (Some(1), 1));
    // The receipt and a health report went onto the stick, under a name that says nothing.
    let files = files_below(&appliance.path("stick/out"));
    let [(_, health), (path, receipt)] = files.as_slice() else { panic!("{files:?}") };
    assert!(!path.to_string_lossy().contains("lux"));
    let key = appliance.keys().receipts;
    assert_eq!(receipt::verify(receipt, &key).unwrap().statement(), statement);
    assert_eq!(health::verify(health, &key).unwrap().timestamp_version, Some(1));
    assert!(health::verify(receipt, &key).is_err() && receipt::verify(health, &key).is_err());
    assert_eq!(status.receipts_waiting, 0);
}

#[test]
fn a_receipt_that_rotted_holds_up_no_other() {
    let (appliance, mut site) = enrolled();
    let aside = appliance.path("aside.casemate");
    std::fs::write(&aside, site.issue().bundle().bytes()).unwrap();
    let source = ImportSource::Path(aside);
    appliance.ask(Call::Import { source, transport: Transport::Local, wait: false, dry_run: false }).unwrap();
    let key = appliance.keys().receipts;
    let objects = files_below(&appliance.path("state/objects"));
    let (rotten, _) = objects.iter().find(|(_, content)| receipt::verify(content, &key).is_ok()).unwrap();
    std::fs::write(rotten, b"rot").unwrap();
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"retention: 30\n");
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    let carried = files_below(&appliance.path("stick/out"));
    let receipts: Vec<_> = carried.iter().filter_map(|(_, content)| receipt::verify(content, &key).ok()).collect();
    assert_eq!(receipts.iter().map(|verified| verified.receipt().sequence).collect::<Vec<_>>(), [2]);
    assert_eq!(appliance.status().receipts_waiting, 1);
}

#[test]
fn the_same_bundle_again_changes_nothing_and_returns_the_earlier_receipt() {
    let (appliance, site) = enrolled();
    let bytes = site.issue().bundle().bytes();
    let first = appliance.import_one(&bytes);
    let journal = appliance.status().journal;
    let again = appliance.import_one(&bytes);
    assert_eq!(again.code, Code::AlreadyApplied, "{again:?}");
    assert_eq!(again.bundles[0].receipt, first.bundles[0].receipt);
    assert_eq!(appliance.status().journal, journal);
    assert_eq!(appliance.receipts().len(), 1);
}

#[test]
fn a_bundle_seen_before_still_brings_its_newer_root() {
    let (appliance, mut site) = enrolled();
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    site.root = 3;
    let again = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(again.code, Code::AlreadyApplied, "{again:?}");
    assert_eq!((appliance.status().root_version, appliance.receipts().len()), (3, 1));
    // And it is stood on: a bundle that starts after it has no gap.
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"retention: 30\n");
    let mut bundle = site.issue().bundle();
    bundle.members.drain(..3);
    assert_eq!(appliance.import_one(&bundle.bytes()).code, Code::Applied);
}

#[test]
fn a_newer_bundle_becomes_generation_two() {
    let (appliance, mut site) = enrolled();
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"retention: 30\n");
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(report.code, Code::Applied, "{report:?}");
    let owner = &report.bundles[0].owners[0];
    let number = |generation: &Option<casemate_protocol::evidence::receipt::GenerationRef>| {
        generation.as_ref().map(|generation| generation.number)
    };
    assert_eq!((number(&owner.before), number(&owner.after)), (Some(1), Some(2)));
    assert_eq!(appliance.current(HOMESERVER).unwrap(), b"retention: 30\n");
    assert_eq!(appliance.receipts().len(), 2);
}

#[test]
fn an_older_stick_after_a_newer_one_is_refused_in_plain_words() {
    let (appliance, mut site) = enrolled();
    let march = site.issue().bundle().bytes();
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"april\n");
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    let report = appliance.import_one(&march);
    assert_eq!(report.code, Code::MetadataRollback);
    let failure = report.bundles[0].failure.as_ref().unwrap();
    assert!(failure.message.contains("older than what this appliance has accepted, timestamp 2"), "{failure}");
    assert!(failure.remedy.contains("as a new version"), "{failure}");
    assert_eq!(appliance.current(HOMESERVER).unwrap(), b"april\n");
}

#[test]
fn of_two_bundles_on_a_stick_the_newer_is_applied_and_the_older_superseded() {
    for order in [["a.casemate", "b.casemate"], ["b.casemate", "a.casemate"]] {
        let (appliance, mut site) = enrolled();
        let march = site.issue().bundle().bytes();
        site.reissue("group.clinics", "synapse/homeserver.yaml", b"april\n");
        let april = site.issue().bundle().bytes();
        let report = appliance.import(&[(order[0], &march), (order[1], &april)]);
        let codes: Vec<_> = report.bundles.iter().map(|bundle| bundle.code).collect();
        assert_eq!((report.code, codes), (Code::Applied, vec![Code::Applied, Code::Superseded]), "{report:?}");
        assert_eq!(report.bundles[1].receipt, report.bundles[0].receipt);
        assert_eq!(appliance.current(HOMESERVER).unwrap(), b"april\n");
        assert_eq!(appliance.receipts().len(), 1);
        // The same stick once more: nothing left to do, and the older one is still no refusal.
        let again = appliance.import(&[(order[0], &march), (order[1], &april)]);
        let codes: Vec<_> = again.bundles.iter().map(|bundle| bundle.code).collect();
        assert_eq!(codes, [Code::AlreadyApplied, Code::Superseded], "{again:?}");
    }
}

#[test]
fn the_newer_bundle_beside_ours_that_is_for_others_does_not_stand_in_the_way() {
    let (appliance, mut site) = enrolled();
    let ours = site.issue().bundle().bytes();
    site.version += 1;
    site.assignments.remove(&"lux-001".parse().unwrap());
    let theirs = site.issue().bundle().bytes();
    let report = appliance.import(&[("a.casemate", &ours), ("b.casemate", &theirs)]);
    assert_eq!(report.code, Code::Applied, "{report:?}");
    assert!(report.bundles.iter().any(|bundle| bundle.code == Code::NotAddressed), "{report:?}");
}

#[test]
fn what_a_bundle_presumes_is_taken_from_the_older_one_beside_it() {
    let (appliance, mut site) = enrolled();
    let march = site.issue().bundle().bytes();
    site.reissue("group.clinics", "systemd/network/10-lan.network", b"april\n");
    let mut april = site.issue().bundle();
    april.presume(b"server_name: clinics.example\n");
    let april = april.bytes();
    let alone = appliance.import(&[("april.casemate", &april)]);
    assert_eq!(alone.code, Code::Missing, "{alone:?}");
    assert!(appliance.current(HOMESERVER).is_none());
    let report = appliance.import(&[("april.casemate", &april), ("march.casemate", &march)]);
    let codes: Vec<_> = report.bundles.iter().map(|bundle| bundle.code).collect();
    assert_eq!(codes, [Code::Applied, Code::Superseded], "{report:?}");
    assert_eq!(appliance.current("groups/clinics/systemd/network/10-lan.network").unwrap(), b"april\n");
    assert_eq!(appliance.current(HOMESERVER).unwrap(), b"server_name: clinics.example\n");
}

#[test]
fn a_newer_bundle_that_is_torn_does_not_keep_the_older_whole_one_from_being_applied() {
    let (appliance, mut site) = enrolled();
    let march = site.issue().bundle().bytes();
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"april\n");
    let mut april = site.issue().bundle().bytes();
    let at = april.windows(6).rposition(|window| window == b"april\n").unwrap();
    april[at] = b'A';
    let report = appliance.import(&[("april.casemate", &april), ("march.casemate", &march)]);
    let codes: Vec<_> = report.bundles.iter().map(|bundle| bundle.code).collect();
    assert_eq!((report.code, codes), (Code::Applied, vec![Code::Applied, Code::ObjectMismatch]), "{report:?}");
    assert_eq!(appliance.current(HOMESERVER).unwrap(), b"server_name: clinics.example\n");
}

#[test]
fn staged_files_wait_for_a_bundle_that_is_incomplete_and_go_once_one_is_applied() {
    let (appliance, mut site) = enrolled();
    let staged = || files_below(&appliance.path("state/staging")).len();
    let mut torn = site.issue().bundle();
    torn.members.remove(torn.position(b"[Match]\nName=lan0\n"));
    assert_eq!(appliance.import_one(&torn.bytes()).code, Code::Missing);
    assert_eq!(staged(), 1, "what did come is kept");
    // The next version has other content, so nothing will ever ask for what was kept.
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"retention: 30\n");
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    assert_eq!(staged(), 0);
}

#[test]
fn a_bundle_for_others_leaves_no_trace_but_a_receipt() {
    let (appliance, mut site) = enrolled();
    site.assignments.remove(&"lux-001".parse().unwrap());
    let bytes = site.issue().bundle().bytes();
    let report = appliance.import_one(&bytes);
    assert_eq!(report.code, Code::NotAddressed, "{report:?}");
    let status = appliance.status();
    assert_eq!((status.timestamp_version, status.owners.len()), (None, 0));
    let transports: Vec<_> = appliance.receipts().iter().map(|receipt| receipt.predicate.transport).collect();
    assert_eq!(transports, [Some(Transport::Stick)]);
    // However often it comes, it is one refusal and one receipt.
    assert_eq!(appliance.import_one(&bytes).bundles[0].receipt, report.bundles[0].receipt);
    assert_eq!(appliance.receipts().len(), 1);
}

#[test]
fn a_bundle_of_another_jurisdiction_is_refused() {
    let (appliance, mut site) = enrolled();
    let id = "lux-001".parse().unwrap();
    site.assignments.get_mut(&id).unwrap().jurisdiction = "RS".parse().unwrap();
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(report.code, Code::JurisdictionMismatch, "{report:?}");
    assert!(appliance.current(HOMESERVER).is_none());
}

#[test]
fn a_manifest_that_waits_for_a_control_plane_the_boundary_does_not_lead_to_is_not_applied_ungated() {
    let (appliance, mut site) = enrolled();
    site.owner("group.clinics").apply.confirm = vec!["control-plane".into()];
    let bundle = site.issue().bundle().bytes();
    let report = appliance.import_one(&bundle);
    assert_eq!(report.code, Code::UnsupportedManifest, "{report:?}");
    assert!(appliance.current(HOMESERVER).is_none());
    // The same once more is the same, and no news.
    let again = appliance.import_one(&bundle);
    assert_eq!((again.code, &again.bundles[0].receipt), (report.code, &report.bundles[0].receipt), "{again:?}");
    assert_eq!(appliance.receipts().len(), 1);
    assert_eq!(appliance.receipts()[0].predicate.owners[0].code, Code::UnsupportedManifest);
}

#[test]
fn what_changed_after_signing_is_refused_and_counted_once() {
    let (appliance, site) = enrolled();
    let mut bytes = site.issue().bundle().bytes();
    let at = bytes.windows(11).position(|window| window == b"\"signed_at\"").unwrap();
    bytes[at + 14] = b'7';
    for _ in 0..3 {
        let report = appliance.import_one(&bytes);
        assert_eq!(report.code, Code::MetadataUnsigned, "{report:?}");
        assert_eq!(report.bundles[0].receipt, Some(1));
    }
    let receipts = appliance.receipts();
    assert_eq!((receipts.len(), receipts[0].subject[0].name.as_str()), (1, "input"));
    assert!(appliance.current(HOMESERVER).is_none());
}

#[test]
fn one_owner_that_does_not_verify_blocks_no_other_and_heals_with_the_repaired_bundle() {
    let (appliance, mut site) = (Appliance::new(AGENT), Site::sample());
    appliance.enrol(&mut site, "lux-002");
    site.owner("group.labs").signers = vec!["stranger".into()];
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(report.code, Code::OwnerUnverified, "{report:?}");
    assert!(appliance.current(HOMESERVER).is_some());
    assert!(appliance.current("groups/labs/nftables/rules.nft").is_none());
    let again = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!((again.code, again.bundles[0].receipt), (Code::OwnerUnverified, report.bundles[0].receipt));

    let health = appliance.health();
    assert_eq!((health.state, health.reasons), (HealthState::Degraded, vec![Code::OwnerUnverified]));

    // Repaired under a new version: a snapshot of the same version with other content would be a fork.
    site.owner("group.labs").signers = Vec::new();
    site.version += 1;
    site.owner("group.labs").version += 1;
    let healed = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(healed.code, Code::Applied, "{healed:?}");
    assert!(appliance.current("groups/labs/nftables/rules.nft").is_some());
    assert_eq!(appliance.health().state, HealthState::Ok);
}

#[test]
fn an_owner_that_left_the_assignment_is_taken_away() {
    let (appliance, mut site) = (Appliance::new(AGENT), Site::sample());
    appliance.enrol(&mut site, "lux-002");
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    site.version += 1;
    site.assignments.get_mut(&"lux-002".parse().unwrap()).unwrap().groups.retain(|group| group.as_str() != "labs");
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(report.code, Code::Applied, "{report:?}");
    assert!(appliance.current("groups/labs/nftables/rules.nft").is_none());
    assert!(report.bundles[0].owners.iter().any(|owner| owner.code == Code::Removed), "{report:?}");
}

#[test]
fn without_enrolment_nothing_is_imported() {
    let (appliance, site) = (Appliance::new(AGENT), Site::sample());
    appliance.carry(&[("a.casemate", &site.issue().bundle().bytes())]);
    let call = import_call(&appliance);
    assert_eq!(appliance.ask(call).unwrap_err().code, Code::NotEnrolled);
}

#[test]
fn what_is_current_and_gone_from_the_folder_is_built_again_at_the_next_start() {
    let (appliance, site) = enrolled();
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    let before = appliance.current(HOMESERVER);
    for (round, lost) in [&["current"][..], &["generations"], &["current", "generations"]].into_iter().enumerate() {
        for folder in lost {
            let away = appliance.path(&format!("{folder}-{round}"));
            std::fs::rename(appliance.path("state").join(folder), away).unwrap();
        }
        assert!(appliance.current(HOMESERVER).is_none());
        assert_eq!(appliance.status().owners.len(), 1);
        assert_eq!(appliance.current(HOMESERVER), before, "{lost:?}");
    }
    // Without its objects nothing can be built again or verified: it starts, answers, and says that it is damaged.
    std::fs::rename(appliance.path("state/objects"), appliance.path("objects")).unwrap();
    std::fs::rename(appliance.path("state/current"), appliance.path("current")).unwrap();
    assert_eq!(appliance.status().owners.len(), 1);
    appliance.carry(&[("again.casemate", &site.issue().bundle().bytes())]);
    let call = import_call(&appliance);
    assert_eq!(appliance.ask(call).unwrap_err().code, Code::StateDamaged);
}

fn import_call(appliance: &Appliance) -> Call {
    Call::Import {
        source: ImportSource::Path(appliance.path("stick")),
        transport: Transport::Local,
        wait: false,
        dry_run: false,
    }
}
