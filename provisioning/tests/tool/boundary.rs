//! What may be exchanged with whom: the envelope, the boundaries inside it, what signers are shown of them.

use std::fs;

use casemate_protocol::boundary::{Boundary, Envelope};
use casemate_protocol::digest::Digest;
use serde_json::{Value, json};

use crate::scene::Scene;

const ENVELOPE: &str =
    "# Nothing beyond the clinics' own network.\nnetworks = [\"10.20.0.0/16\"]\ndhcp = true\nobserve = true\n";
const CLINICS: &str = "site/boundary/clinics.toml";
const CSV: &str = "site/appliances.csv";
const FLOW: &str = "\n[[flow]]\npurpose = \"federation\"\ndirection = \"out\"\nprotocol = \"tcp\"\nto = \"10.20.1.0/24\"\nports = \"8448\"\n";

fn peer(more: &str) -> String {
    let pin = Digest::of(b"the control plane's key");
    format!(
        "[[peer]]\nid = \"control\"\nprotocol = \"https\"\naddress = \"10.20.0.5\"\nport = 8443\npin = \"{pin}\"\n\
         purpose = \"repository\"\n{more}"
    )
}

/// A site whose root binds [`ENVELOPE`], with two confirmed appliances; lux-001 is in the boundary `clinics`.
fn site(whose: &[&str]) -> Scene {
    let scene = Scene::empty();
    scene.write("envelope.toml", ENVELOPE);
    scene.ok(&[&["init", "site", "--jurisdiction", "LU", "--envelope", "envelope.toml"], whose].concat());
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "clinics");
    scene.edit(CSV, "lux-001,,clinics,", "lux-001,,clinics,clinics");
    scene.write(CLINICS, &format!("{}{FLOW}", peer("required = true\n")));
    scene
}

fn demo() -> Scene {
    site(&["--demo"])
}

/// The newest metadata of a role.
fn metadata(scene: &Scene, file: &str) -> Value {
    serde_json::from_str::<Value>(&scene.read(&format!("site/repository/metadata/{file}"))).unwrap()["signed"].clone()
}

fn target(scene: &Scene, name: &str) -> Vec<u8> {
    let folder = "site/repository/targets/boundary";
    let mut found = scene.list(folder).into_iter().filter(|file| file.ends_with(&format!(".{name}.json")));
    let file = found.next().unwrap();
    assert_eq!(found.next(), None);
    fs::read(scene.path(&format!("{folder}/{file}"))).unwrap()
}

#[test]
fn init_binds_the_envelope_into_the_root_and_keeps_it_as_it_was_written() {
    let scene = Scene::empty();
    scene.write("envelope.toml", ENVELOPE);
    let init = ["--json", "init", "site", "--jurisdiction", "LU", "--demo", "--envelope", "envelope.toml"];
    let said = scene.ok(&init);
    assert_eq!(scene.read("site/boundary/envelope.toml"), ENVELOPE);
    let raw =
        b"{\"dhcp\":true,\"format\":1,\"jurisdiction\":\"LU\",\"networks\":[\"10.20.0.0/16\"],\"observe\":true}\n";
    let bound = metadata(&scene, "1.root.json")["x-casemate"]["envelope"].clone();
    assert_eq!(bound, json!(Digest::of(raw)));
    assert_eq!(said.json()["envelope"], bound);
    let plain = Scene::demo();
    assert_eq!(metadata(&plain, "1.root.json")["x-casemate"].get("envelope"), None);
    assert!(!plain.path("site/boundary").exists());
}

#[test]
fn an_envelope_with_mistakes_makes_no_site_and_no_keys() {
    let scene = Scene::empty();
    scene.write("envelope.toml", "networks = [\n  \"10.20.0.0/16\",\n  \"everywhere\",\n]\n");
    let init = ["init", "site", "--jurisdiction", "LU", "--demo", "--envelope"];
    scene
        .run(&[&init[..], &["envelope.toml"]].concat())
        .refused("site-invalid")
        .says("envelope.toml:3: \"everywhere\" is no network")
        .says("names are never resolved");
    scene.run(&[&init[..], &["absent.toml"]].concat()).refused("input-unreadable");
    assert_eq!(scene.list("."), ["envelope.toml"]);
}

#[test]
fn without_an_envelope_in_the_root_a_boundary_is_refused_and_the_way_out_is_told() {
    let scene = Scene::demo();
    scene.write(CLINICS, FLOW);
    let run = scene.run(&["plan"]);
    assert_eq!(run.refused("boundary-wider").exit, 1);
    run.says("boundary/clinics.toml is a boundary, and the root binds no envelope")
        .says("`casemate init --envelope FILE`")
        .says("needs a new root, which no command makes yet");
    scene.write("site/boundary/envelope.toml", ENVELOPE);
    scene.run(&["plan"]).refused("boundary-wider");
    fs::remove_file(scene.path(CLINICS)).unwrap();
    scene.run(&["plan"]).refused("boundary-wider").says("boundary/envelope.toml is an envelope (SHA-256 ");
    assert!(!scene.path("site/.plan").exists());
}

#[test]
fn another_envelope_than_the_root_s_is_noticed_and_other_words_for_the_same_are_not_another() {
    let scene = demo();
    scene.write(
        "site/boundary/envelope.toml",
        "observe = true\ndhcp = true\nnetworks = [\"10.20.0.0/16\"] # the same\n",
    );
    scene.ok(&["plan"]);
    scene.edit("site/boundary/envelope.toml", "10.20.0.0/16", "10.0.0.0/8");
    scene
        .run(&["plan"])
        .refused("boundary-wider")
        .says("boundary/envelope.toml is not the envelope the root binds: expected SHA-256 ")
        .says("needs a new root, which no command makes yet");
    fs::remove_file(scene.path("site/boundary/envelope.toml")).unwrap();
    scene.run(&["plan"]).refused("boundary-wider").says("boundary/envelope.toml is absent");
}

#[test]
fn every_mistake_of_the_boundaries_is_shown_at_once_with_file_and_line() {
    let scene = demo();
    scene.edit(CSV, "clinics,clinics", "clinics,clinic");
    scene.edit(CLINICS, "10.20.1.0/24", "192.0.2.0/24");
    scene.edit(CLINICS, "\"https\"", "\"http\"");
    scene.write("site/boundary/wards.toml", "[[flows]]\n");
    scene.write("site/boundary/notes.txt", "");
    let run = scene.run(&["plan"]);
    assert_eq!(run.refused("site-invalid").exit, 2);
    for line in [
        "appliances.csv:3: there is no boundary clinic; did you mean \"clinics\"?",
        "boundary/clinics.toml:3: \"http\" is no peer's protocol; did you mean \"https\"?",
        "boundary/clinics.toml:10: 192.0.2.0/24 is beyond the envelope; narrow it",
        "boundary/notes.txt: this file is not expected here; only <name>.toml stands in boundary/",
        "boundary/wards.toml:1: unknown field `flows`; did you mean \"flow\"?",
    ] {
        run.says(line);
    }
}

#[test]
fn the_documents_that_are_signed_are_those_appliances_read() {
    let scene = demo();
    scene.publish();
    let raw = target(&scene, "envelope");
    let bound = Digest::of(&raw);
    assert_eq!(metadata(&scene, "1.root.json")["x-casemate"]["envelope"], json!(bound));
    let envelope = Envelope::parse(&raw, Some(bound), "LU".parse().unwrap()).unwrap();
    let boundary = Boundary::parse(&target(&scene, "clinics"), &"clinics".parse().unwrap()).unwrap();
    envelope.admit(&boundary).unwrap();
    assert_eq!(boundary.allow.entries().len(), 2);
    let targets = metadata(&scene, "2.targets.json");
    let role = &targets["delegations"]["roles"][0];
    assert_eq!((&role["name"], &role["paths"]), (&json!("boundary"), &json!(["boundary/*"])));
    assert_eq!(role["threshold"], 1, "--demo");
    // It moves alone.
    scene.edit(CLINICS, "8448", "8449");
    scene.ok(&["plan"]).says("To be signed: boundary 2\n");
    scene.ok(&["sign"]).says("boundary 2");
    assert!(!scene.path("site/repository/metadata/3.targets.json").exists());
    // The last boundary takes the role with it; a later one continues its versions.
    fs::remove_file(scene.path(CLINICS)).unwrap();
    scene.edit(CSV, "clinics,clinics", "clinics,");
    scene.ok(&["plan"]).says("boundary clinics -> none: narrower, in force at once; on lux-001");
    scene.ok(&["sign"]);
    let roles = metadata(&scene, "3.targets.json")["delegations"]["roles"].clone();
    assert!(roles.as_array().unwrap().iter().all(|role| role["name"] != "boundary"));
    scene.write(CLINICS, FLOW);
    scene.ok(&["plan"]).says("boundary 3");
}

#[test]
fn two_persons_sign_a_boundary_and_each_is_shown_what_it_changes() {
    let scene = site(&["--person", "anna", "--person", "bob", "--person", "eve"]);
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "r"]).says("boundary: 2 of 3 keys must sign");
    let add = |key: &str| {
        let (key, sig) = (format!("site-keys/{key}.key"), format!("{key}.sig"));
        scene.ok(&["sign", "add", "r", "--key", &key, "-o", &sig])
    };
    add("anna")
        .says("envelope, as root binds it: 10.20.0.0/16; any peer key, dhcp, observing")
        .says("boundary none -> clinics: wider; tried first, given up unless the peer control is reached; on lux-001")
        .says("+ peer control https 10.20.0.5:8443 required pins ")
        .says("+ flow federation out tcp to 10.20.1.0/24 port 8448")
        .says("boundary 1: 2 targets");
    scene.run(&["sign", "finish", "anna.sig"]).refused("signers-missing");
    add("bob");
    scene.ok(&["sign", "finish", "anna.sig", "bob.sig"]).says("boundary 1");
    let keys = metadata(&scene, "2.targets.json")["delegations"]["roles"][0]["keyids"].clone();
    assert_eq!(keys, metadata(&scene, "1.root.json")["roles"]["targets"]["keyids"]);
    // Later one person alone moves nothing either.
    scene.edit(CLINICS, "8448", "8449");
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "second"]);
    scene.ok(&["sign", "add", "second", "--key", "site-keys/eve.key", "-o", "eve.sig"]);
    scene.run(&["sign", "finish", "eve.sig"]).refused("signers-missing").says("role boundary");
}

#[test]
fn a_request_for_another_boundary_than_the_own_site_s_is_not_signed() {
    let scene = site(&["--person", "anna", "--person", "bob"]);
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "r"]);
    scene.edit(CLINICS, "10.20.1.0/24", "10.20.2.0/24");
    scene
        .run(&["sign", "add", "r", "--key", "site-keys/bob.key", "-o", "bob.sig"])
        .refused("request-differs")
        .says("role boundary, boundary/clinics.json: ");
    assert!(!scene.path("bob.sig").exists());
}

#[test]
fn signers_see_which_way_a_boundary_goes_and_whether_it_is_tried() {
    let scene = demo();
    scene.publish();
    let lines = |scene: &Scene| {
        let plan = scene.ok(&["--json", "plan"]).json();
        (plan["boundaries"].clone(), scene.ok(&["plan"]).stdout)
    };
    scene.edit(CLINICS, "10.20.1.0/24", "10.20.1.0/25");
    let (steps, told) = lines(&scene);
    assert!(told.contains("boundary clinics: narrower, in force at once; on lux-001\n"), "{told}");
    assert!(told.contains("    - flow federation out tcp to 10.20.1.0/24 port 8448\n"), "{told}");
    assert!(told.contains("    + flow federation out tcp to 10.20.1.0/25 port 8448\n"), "{told}");
    assert!(told.contains("  lux-001: boundary clinics changes\n"), "{told}");
    assert_eq!((&steps[0]["course"], &steps[0]["appliances"]), (&json!("narrower"), &json!(["lux-001"])));
    scene.edit(CLINICS, "10.20.1.0/25", "10.20.0.0/16");
    let (steps, told) = lines(&scene);
    assert!(
        told.contains("boundary clinics: wider; tried first, given up unless the peer control is reached"),
        "{told}"
    );
    assert_eq!((&steps[0]["course"], &steps[0]["required"]), (&json!("wider"), &json!(["control"])));
    scene.edit(CLINICS, "8448", "8443");
    let (_, told) = lines(&scene);
    assert!(told.contains("boundary clinics: wider in one place, narrower in another; tried first"), "{told}");
    scene.edit(CLINICS, "required = true\n", "");
    let (_, told) = lines(&scene);
    assert!(told.contains("; not tried, because no peer in it is required; on lux-001"), "{told}");
    scene.ok(&["plan"]).says("warning: boundary clinics: no peer is required");
    // Who goes from one to another is told what that changes for it.
    scene.write("site/boundary/wards.toml", FLOW);
    scene.edit(CSV, "lux-002,,clinics,", "lux-002,,clinics,wards");
    let (_, told) = lines(&scene);
    assert!(told.contains("boundary none -> wards: wider; not tried"), "{told}");
    assert!(told.contains("lux-002: boundary none -> wards"), "{told}");
    scene.edit(CSV, "lux-002,,clinics,wards", "lux-002,,clinics,");
    scene.ok(&["plan"]).says("warning: no line of appliances.csv names boundary wards").says("no appliance is in it");
    scene.write("site/boundary/wards.toml", &format!("observe_until = \"2026-04-01T00:00:00Z\"\n{FLOW}"));
    scene.ok(&["plan"]).says("boundary wards: nothing is dropped until 2026-04-01T00:00:00Z");
    scene.edit("site/boundary/wards.toml", "2026-04", "2026-02");
    scene.ok(&["plan"]).says("boundary wards: observe_until 2026-02-01T00:00:00Z has passed");
}

#[test]
fn an_edited_boundary_makes_the_plan_stale() {
    let scene = demo();
    scene.ok(&["plan"]);
    scene.edit(CLINICS, "8448", "8449");
    scene.run(&["sign"]).refused("plan-stale").says("boundary/clinics.toml changed since");
}

#[test]
fn boundaries_are_checked_without_a_plan_and_without_the_rest_of_the_site() {
    let scene = demo();
    scene.write("site/groups/clinics/bundle.toml", "broken");
    scene
        .ok(&["boundary", "check"])
        .says("envelope, as root binds it: 10.20.0.0/16; any peer key, dhcp, observing\n")
        .says("boundary clinics of lux-001:\n  peer control https 10.20.0.5:8443 required pins ")
        .says("1 boundary, inside the envelope.");
    let said = scene.ok(&["--json", "boundary", "check", "clinics"]).json();
    assert_eq!(said["boundaries"][0]["appliances"], json!(["lux-001"]));
    assert_eq!(said["boundaries"][0]["allow"]["flows"][0]["ports"], "8448");
    assert_eq!(said["envelope"]["sha256"], metadata(&scene, "1.root.json")["x-casemate"]["envelope"]);
    scene
        .run(&["boundary", "check", "clinic"])
        .refused("site-invalid")
        .says("boundary/clinic.toml: there is no such boundary; did you mean \"clinics\"?");
    scene.edit(CLINICS, "10.20.1.0/24", "10.0.0.0/8");
    scene.run(&["boundary", "check"]).refused("site-invalid").says("boundary/clinics.toml:10: 10.0.0.0/8 is beyond");
    scene.edit("site/boundary/envelope.toml", "10.20.0.0/16", "10.0.0.0/8");
    scene.run(&["boundary", "check"]).refused("boundary-wider").says("is not the envelope the root binds");
    assert!(!scene.path("site/.plan").exists());
    let without = Scene::demo();
    without.ok(&["boundary", "check"]).says("nothing may leave any appliance");
}

#[test]
fn the_difference_to_what_is_signed_is_told_boundary_by_boundary() {
    let scene = demo();
    scene.ok(&["boundary", "diff"]).says("boundary none -> clinics: wider; tried first");
    scene.publish();
    scene.ok(&["boundary", "diff"]).says("Nothing differs");
    scene.edit(CLINICS, "8448", "8440-8448");
    scene.write("site/boundary/wards.toml", "");
    let said = scene.ok(&["--json", "boundary", "diff"]).json();
    assert_eq!(said["boundaries"].as_array().unwrap().len(), 2);
    let said = scene.ok(&["--json", "boundary", "diff", "clinics"]).json();
    assert_eq!(said["boundaries"].as_array().unwrap().len(), 1);
    assert_eq!(said["boundaries"][0]["course"], "wider");
    assert_eq!(
        said["boundaries"][0]["changes"][1],
        json!({"edit": "added", "item": "flow federation out tcp to 10.20.1.0/24 port 8440-8448"})
    );
    scene.run(&["boundary", "diff", "nobody"]).refused("site-invalid");
    assert!(!scene.path("site/.plan").exists());
}
