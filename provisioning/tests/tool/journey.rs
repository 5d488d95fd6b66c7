//! From `init` to a verified receipt.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use casemate_protocol::code::Code;
use casemate_protocol::device::enrolment::EnrolmentGrant;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::health::{self, HealthReport, HealthState};
use casemate_protocol::evidence::receipt::{
    ClockQuality, GenerationRef, JournalPosition, OwnerOutcome, Receipt, Statement, Subject,
};
use casemate_protocol::tuf::role::Version;

use crate::scene::{Scene, device_keys, public, public_keys};

/// A receipt of the appliance `id` whose keys come from `seed`.
pub(crate) fn receipt(id: &str, seed: u8, code: Code) -> Vec<u8> {
    let digest = Digest::of(b"x");
    let receipt = Receipt {
        appliance: id.parse().unwrap(),
        jurisdiction: "LU".parse().unwrap(),
        device: public_keys(seed).fingerprint(),
        sequence: 1,
        code,
        owners: vec![OwnerOutcome {
            id: "group.clinics".parse().unwrap(),
            code,
            before: None,
            after: Some(GenerationRef { number: 1, version: 1, manifest: digest }),
        }],
        boundary: None,
        count: 1,
        archive: None,
        root_version: 1,
        demo: true,
        time: "2026-03-01T12:00:00Z".parse().unwrap(),
        clock: ClockQuality::Plausible,
        journal: JournalPosition { size: 1, root: digest },
        transport: None,
    };
    let [receipts, ..] = device_keys(seed);
    let statement = Statement::new(Subject::snapshot(Version::FIRST, digest), receipt);
    statement.seal(public(&receipts).keyid(), |message| receipts.sign(message).as_ref().to_vec()).unwrap()
}

/// A health report about the appliance `id`, sealed by the keys from `seed`.
fn health(id: &str, seed: u8, state: HealthState) -> Vec<u8> {
    let report = HealthReport {
        format: health::FORMAT,
        state,
        reasons: Vec::new(),
        appliance: Some(id.parse().unwrap()),
        jurisdiction: Some("LU".parse().unwrap()),
        demo: true,
        timestamp_version: Some(1),
        snapshot: None,
        generations: 1,
        certificates: None,
        receipts_waiting: 0,
        boundary: None,
        transports: None,
        time: "2026-03-01T12:00:00Z".parse().unwrap(),
        clock: ClockQuality::Plausible,
        journal: JournalPosition { size: 1, root: Digest::of(b"x") },
    };
    let [receipts, ..] = device_keys(seed);
    report.seal(public(&receipts).keyid(), |message| receipts.sign(message).as_ref().to_vec()).unwrap()
}

#[test]
fn a_site_becomes_a_stick_that_every_addressed_appliance_accepts() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.ok(&["plan"]).says("lux-001: addressed for the first time, with clinics");
    scene.ok(&["sign"]).says("timestamp 2");
    scene.ok(&["check"]).says("1 appliance would accept timestamp 2");
    let packed = scene.ok(&["--json", "pack", "--stick", "out"]).json();
    let name = scene.list("out/in");
    assert_eq!(name.len(), 1);
    let sha256 = Digest::of(&fs::read(scene.path(&format!("out/in/{}", name[0]))).unwrap()).to_string();
    assert_eq!(packed["sha256"], sha256);
    assert_eq!(name[0], format!("2-{}.casemate", &sha256[..8]));
}

#[test]
fn private_keys_lie_outside_the_site_and_only_their_owner_may_read_them() {
    let scene = Scene::demo();
    let keys = scene.list("site-keys");
    let private: Vec<_> = keys.iter().filter(|name| name.ends_with(".key")).map(String::as_str).collect();
    assert_eq!(private, ["demo-root.key", "demo.key", "snapshot.key", "timestamp.key"]);
    for name in private {
        let mode = fs::metadata(scene.path(&format!("site-keys/{name}"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    scene
        .run(&["init", "other", "--jurisdiction", "LU", "--demo", "--keys", "other/keys"])
        .refused("usage-invalid")
        .says("lies inside the site");
    assert!(!scene.path("other").exists());
}

#[test]
fn init_touches_nothing_that_is_there() {
    let scene = Scene::demo();
    let before = scene.read("site/site.toml");
    scene.run(&["init", "site", "--jurisdiction", "BE", "--demo"]).refused("exists");
    assert_eq!(scene.read("site/site.toml"), before);
    scene.run(&["init", "new", "--jurisdiction", "BE", "--demo", "--keys", "site-keys"]).refused("exists");
    assert!(!scene.path("new").exists(), "no half-made site stays");
}

#[test]
fn an_appliance_is_addressed_only_after_the_words_were_confirmed() {
    let scene = Scene::demo();
    let request = scene.request("lux-001", 1);
    let enrolled = scene.ok(&["--json", "appliance", "enrol", &request, "--group", "clinics"]).json();
    let grant = EnrolmentGrant::parse(&fs::read(scene.path("lux-001.grant")).unwrap()).unwrap();
    let words = grant.words(public_keys(1).fingerprint()).unwrap().to_string();
    assert_eq!(enrolled["words"], words, "both sides show the same words");
    scene.ok(&["plan"]).says("lux-001 is not confirmed and gets nothing");
    scene.ok(&["sign"]);
    scene.run(&["check"]).refused("not-signed");
    let wrong = words.replacen(&words[..5], "babab", 1);
    scene.run(&["appliance", "confirm", "lux-001", "--words", &wrong]).refused("words-differ");
    let spoken = words.to_uppercase().replace('-', " ");
    let spoken: Vec<_> = spoken.split(' ').collect();
    scene.ok(&[&["appliance", "confirm", "lux-001", "--words"][..], &spoken].concat());
    scene.publish();
    scene.ok(&["check"]).says("1 appliance would accept");
}

#[test]
fn a_request_changed_on_the_way_or_a_stolen_name_is_refused() {
    let scene = Scene::demo();
    let request = scene.request("lux-001", 1);
    scene.edit(&request, &public_keys(1).tls.keyval.public, &public_keys(2).tls.keyval.public);
    scene.run(&["appliance", "enrol", &request, "--group", "clinics"]).refused("enrolment-invalid");
    scene.appliance("lux-001", 1, "clinics");
    let other = scene.request("lux-001", 2);
    scene.run(&["appliance", "enrol", &other]).refused("already-enrolled").says("with other keys");
    let again = scene.request("lux-009", 1);
    scene.run(&["appliance", "enrol", &again, "--group", "clinics"]).refused("already-enrolled").says("as lux-001");
    // A lost grant is written again, and nothing else changes.
    let same = scene.request("lux-001", 1);
    fs::remove_file(scene.path("lux-001.grant")).unwrap();
    assert_eq!(scene.ok(&["--json", "appliance", "enrol", &same]).json()["state"], "confirmed");
    assert!(scene.path("lux-001.grant").exists());
}

#[test]
fn a_pending_appliance_that_is_granted_again_under_a_new_root_has_the_words_of_that_root() {
    let scene = Scene::demo();
    let request = scene.request("lux-001", 1);
    let old = scene.ok(&["--json", "appliance", "enrol", &request, "--group", "clinics"]).json()["words"].clone();
    let root = scene.read("site/repository/metadata/1.root.json");
    scene.write("site/repository/metadata/2.root.json", &root.replace("\"version\":1", "\"version\":2"));
    let new = scene.ok(&["--json", "appliance", "enrol", &request]).json()["words"].clone();
    assert_ne!(old, new);
    scene.run(&["appliance", "confirm", "lux-001", "--words", old.as_str().unwrap()]).refused("words-differ");
    scene.ok(&["appliance", "confirm", "lux-001", "--words", new.as_str().unwrap()]);
}

#[test]
fn an_init_that_fails_takes_its_own_keys_away_and_no_others() {
    let scene = Scene::empty();
    let init = ["init", "new", "--jurisdiction", "LU", "--person", "anna", "--person", "bob", "--keys", "keys"];
    scene.write("keys/bob.key", "bob's own");
    scene.run(&init).refused("exists");
    assert_eq!(scene.list("keys"), ["bob.key"]);
    assert_eq!(scene.read("keys/bob.key"), "bob's own");
    fs::remove_dir_all(scene.path("keys")).unwrap();
    scene.write("keys/timestamp.key.pub", "left");
    scene.run(&init).refused("exists");
    assert_eq!(scene.list("keys"), ["timestamp.key.pub"], "half a pair does not stay either");
    fs::remove_dir_all(scene.path("keys")).unwrap();
    // After all keys: the site's folder cannot be put in its place.
    let nowhere = ["init", "absent/new", "--jurisdiction", "LU", "--demo", "--keys", "keys"];
    scene.write("absent", "a file");
    assert_ne!(scene.run(&nowhere).exit, 0);
    assert_eq!(scene.list("."), ["absent"]);
    fs::remove_file(scene.path("absent")).unwrap();
    scene.ok(&init);
}

#[test]
fn enrolment_keeps_every_byte_the_operator_wrote() {
    let scene = Scene::demo();
    let written = "# mine\nserial,id,groups\n\"S, 1\",lux-007,clinics";
    scene.write("site/appliances.csv", written);
    scene.appliance("lux-001", 1, "clinics");
    assert_eq!(scene.read("site/appliances.csv"), format!("{written}\n,lux-001,clinics\n"));
    let list = scene.ok(&["--json", "appliance", "list"]).json();
    let states: BTreeMap<_, _> = list["appliances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, BTreeMap::from([("lux-001", "confirmed"), ("lux-007", "not enrolled")]));
    let request = scene.request("lux-007", 7);
    scene
        .run(&["appliance", "enrol", &request, "--group", "labs"])
        .refused("site-invalid")
        .says("there is no group labs");
    scene.ok(&["appliance", "enrol", &request]);
}

#[test]
fn the_exit_of_receipt_verify_tells_success_refusal_and_forgery_apart() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    fs::write(scene.path("good.json"), receipt("lux-001", 1, Code::Applied)).unwrap();
    fs::write(scene.path("no.json"), receipt("lux-001", 1, Code::NotAddressed)).unwrap();
    fs::write(scene.path("forged.json"), receipt("lux-001", 2, Code::Applied)).unwrap();
    let mut flipped = receipt("lux-001", 1, Code::Applied);
    let at = flipped.windows(10).position(|window| window == b"\"payload\":").unwrap() + 30;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    fs::write(scene.path("flipped.json"), flipped).unwrap();
    let exit = |files: &[&str]| scene.run(&[&["receipt", "verify"][..], files].concat()).exit;
    assert_eq!(exit(&["good.json"]), 0);
    assert_eq!(exit(&["good.json", "no.json"]), 1);
    assert_eq!(exit(&["no.json", "forged.json", "good.json"]), 2);
    assert_eq!(exit(&["flipped.json"]), 2);
    let said = scene.run(&["--json", "receipt", "verify", "good.json", "forged.json"]).json();
    assert_eq!(said["receipts"][0]["statement"]["predicate"]["code"], "applied");
    assert_eq!(said["receipts"][1]["code"], "receipt-invalid");
}

#[test]
fn a_health_report_that_came_home_beside_receipts_is_verified_with_them() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    fs::write(scene.path("r.json"), receipt("lux-001", 1, Code::Applied)).unwrap();
    fs::write(scene.path("ok.json"), health("lux-001", 1, HealthState::Ok)).unwrap();
    fs::write(scene.path("damaged.json"), health("lux-001", 1, HealthState::Quarantine)).unwrap();
    fs::write(scene.path("other.json"), health("lux-002", 1, HealthState::Ok)).unwrap();
    fs::write(scene.path("forged.json"), health("lux-001", 2, HealthState::Ok)).unwrap();
    let exit = |files: &[&str]| scene.run(&[&["receipt", "verify"][..], files].concat()).says("lux-001").exit;
    assert_eq!(exit(&["r.json", "ok.json"]), 0);
    assert_eq!(exit(&["r.json", "damaged.json"]), 4);
    assert_eq!(exit(&["r.json", "other.json"]), 2);
    assert_eq!(exit(&["r.json", "forged.json"]), 2);
    let said = scene.ok(&["--json", "receipt", "verify", "ok.json"]).json();
    assert_eq!(said["receipts"][0]["health"]["state"], "ok");
}

#[test]
fn a_receipt_by_one_appliance_about_another_is_invalid() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "clinics");
    fs::write(scene.path("r.json"), receipt("lux-002", 1, Code::Applied)).unwrap();
    let run = scene.run(&["receipt", "verify", "r.json"]);
    assert_eq!(run.exit, 2);
    run.says("signed by lux-001, but about lux-002");
}
