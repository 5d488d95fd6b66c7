//! Two persons, thresholds, requests and signatures.

use std::fs;

use crate::scene::Scene;

#[test]
fn two_persons_sign_at_their_own_machines() {
    let scene = Scene::two_persons();
    scene.appliance("lux-001", 1, "clinics");
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "march.request"]).says("targets: 2 of 2");
    // Only the publishing machine's keys stay with the site.
    fs::create_dir(scene.path("machine")).unwrap();
    for key in ["snapshot.key", "timestamp.key"] {
        fs::rename(scene.path(&format!("site-keys/{key}")), scene.path(&format!("machine/{key}"))).unwrap();
    }
    scene
        .ok(&["sign", "add", "march.request", "--key", "site-keys/anna.key", "-o", "anna.sig"])
        .says("lux-001: addressed for the first time, with clinics")
        .says("targets 2: 1 target, until 2027-04-05T12:00:00Z");
    let run = scene.run(&["sign", "finish", "anna.sig", "--keys", "machine"]);
    run.refused("signers-missing").says("signed by anna").says("not by bob");
    // Her other key does not make her two persons, and signing twice does not either.
    scene
        .run(&["sign", "add", "march.request", "--key", "site-keys/anna-root.key", "-o", "x.sig"])
        .refused("signers-missing");
    scene.ok(&["sign", "add", "march.request", "--key", "site-keys/anna.key", "-o", "anna2.sig"]);
    scene.run(&["sign", "finish", "anna.sig", "anna2.sig", "--keys", "machine"]).refused("signers-missing");
    assert!(!scene.path("site/repository/metadata/2.timestamp.json").exists());
    scene.ok(&["sign", "add", "march.request", "--key", "site-keys/bob.key"]);
    let bob = scene.list(".").into_iter().find(|name| name.starts_with("march.request.")).unwrap();
    scene.ok(&["sign", "finish", "anna.sig", &bob, "--keys", "machine"]).says("group.clinics 1");
    scene.ok(&["check"]);
}

#[test]
fn one_person_s_keys_are_not_enough_at_once_either() {
    let scene = Scene::two_persons();
    fs::remove_file(scene.path("site-keys/bob.key")).unwrap();
    scene.ok(&["plan"]);
    scene.run(&["sign"]).refused("signers-missing").says("not by bob").says("2 keys of 2 persons are needed");
}

#[test]
fn the_publishing_machine_alone_is_told_to_ask_the_persons() {
    let scene = Scene::two_persons();
    for key in ["anna", "bob"] {
        fs::remove_file(scene.path(&format!("site-keys/{key}.key"))).unwrap();
    }
    scene.ok(&["plan"]);
    scene.run(&["sign"]).refused("signers-missing").says("`casemate sign request`");
}

#[test]
fn two_keys_of_one_person_are_one_person() {
    let scene = Scene::two_persons();
    // The root as if both daily keys were anna's, signed by nobody again: `sign` judges by the register in it.
    let root = "site/repository/metadata/1.root.json";
    let document: serde_json::Value = serde_json::from_str(&scene.read(root)).unwrap();
    let persons = document["signed"]["x-casemate"]["persons"].as_object().unwrap();
    let tokens: std::collections::BTreeSet<_> = persons.values().map(|token| token.as_str().unwrap()).collect();
    let tokens: Vec<_> = tokens.into_iter().collect();
    scene.edit(root, tokens[1], tokens[0]);
    scene.ok(&["plan"]);
    scene.run(&["sign"]).refused("signers-missing").says("1 of the 2 needed keys and persons have signed");
}

#[test]
fn signatures_for_another_request_are_refused() {
    let scene = Scene::two_persons();
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "a.request"]);
    scene.ok(&["sign", "add", "a.request", "--key", "site-keys/anna.key", "-o", "anna.sig"]);
    scene.edit("site/groups/clinics/bundle.toml", "First", "Second");
    scene.run(&["sign", "finish", "anna.sig"]).refused("plan-stale");
    scene.ok(&["plan"]);
    scene.run(&["sign", "finish", "anna.sig"]).refused("plan-missing");
    // The old request put back beside the new plan is not one for it.
    fs::copy(scene.path("a.request"), scene.path("site/.plan/request.json")).unwrap();
    scene.run(&["sign", "finish", "anna.sig"]).refused("plan-missing");
    scene.ok(&["sign", "request", "-o", "b.request"]);
    scene.run(&["sign", "finish", "anna.sig"]).refused("plan-stale").says("answers request");
    scene.run(&["sign", "add", "anna.sig", "--key", "site-keys/anna.key"]).refused("usage-invalid");
}

#[test]
fn fewer_persons_than_must_sign_make_no_site() {
    let scene = Scene::empty();
    let init = ["init", "site", "--jurisdiction", "LU"];
    scene.run(&[&init[..], &["--person", "anna"]].concat()).refused("usage-invalid");
    scene.run(&[&init[..], &["--person", "anna", "--person", "anna"]].concat()).refused("usage-invalid");
    scene
        .run(&[&init[..], &["--person", "anna", "--person", "bob", "--threshold", "1"]].concat())
        .refused("usage-invalid");
    assert_eq!(scene.run(&init).exit, 2, "either --demo or persons");
    assert!(scene.list(".").is_empty());
}

#[test]
fn a_key_that_others_may_read_signs_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::demo();
    scene.ok(&["plan"]);
    fs::set_permissions(scene.path("site-keys/demo.key"), fs::Permissions::from_mode(0o644)).unwrap();
    scene.run(&["sign"]).refused("key-invalid").says("chmod 600");
}
