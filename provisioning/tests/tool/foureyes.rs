//! What the second signer signs: what her own site folder gives, or what she has read in full.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::scene::Scene;

const BOB: [&str; 2] = ["--key", "site-keys/bob.key"];

/// What somebody does to a request on its way.
type Forge = fn(&mut Value);

/// Two persons; bob has his own copy of the site, and the request was made from anna's.
fn asked() -> Scene {
    let scene = Scene::two_persons();
    scene.appliance("lux-001", 1, "clinics");
    copy(&scene.path("site"), &scene.path("bob/site"));
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "r"]);
    scene
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The request, changed on its way.
fn forged(scene: &Scene, forge: impl FnOnce(&mut Value)) {
    let mut request: Value = serde_json::from_str(&scene.read("r")).unwrap();
    forge(&mut request);
    scene.write("forged", &request.to_string());
}

fn draft<'a>(request: &'a mut Value, role: &str) -> &'a mut Value {
    let drafts = request["drafts"].as_array_mut().unwrap();
    &mut drafts.iter_mut().find(|draft| draft["role"] == role).unwrap()["signed"]
}

/// The path of the group's only file, and its digest in the request.
fn swap(request: &mut Value) -> (String, String) {
    let targets = draft(request, "group.clinics")["targets"].as_object_mut().unwrap();
    let (path, file) = targets.iter_mut().find(|(path, _)| path.contains("/files/")).unwrap();
    let old = file["hashes"]["sha256"].as_str().unwrap().to_owned();
    file["hashes"]["sha256"] = json!("e".repeat(64));
    (path.clone(), old)
}

fn add(scene: &Scene, request: &str, more: &[&str]) -> crate::scene::Run {
    scene.run(&[&["sign", "add", request, "-o", "out.sig"], &BOB[..], more].concat())
}

fn signed(scene: &Scene) -> bool {
    scene.path("out.sig").exists()
}

#[test]
fn a_request_for_what_the_own_site_gives_is_signed() {
    let mut scene = asked();
    let before = scene.list("bob/site");
    add(&scene, "r", &["--site", "bob/site"])
        .says("lux-001: addressed for the first time, with clinics")
        .says("These are the drafts of your own site folder, bob/site.");
    assert!(signed(&scene));
    assert_eq!(scene.list("bob/site"), before, "comparing writes nothing");
    scene.ok(&["sign", "add", "r", "--key", "site-keys/anna.key", "-o", "anna.sig"]);
    scene.ok(&["sign", "finish", "out.sig", "anna.sig"]);
    // Later, elsewhere, and everything again: still the same drafts.
    fs::remove_dir_all(scene.path("bob")).unwrap();
    copy(&scene.path("site"), &scene.path("bob/site"));
    scene.ok(&["plan", "--renew"]);
    scene.ok(&["sign", "request", "-o", "renewal"]);
    scene.now = "2026-03-09T12:00:00Z".into();
    scene.ok(&[&["sign", "add", "renewal", "-o", "again.sig", "--site", "bob/site"], &BOB[..]].concat());
}

#[test]
fn a_file_s_swapped_digest_is_refused_against_the_own_site() {
    let scene = asked();
    let mut swapped = None;
    forged(&scene, |request| swapped = Some(swap(request)));
    let (path, old) = swapped.unwrap();
    let run = add(&scene, "forged", &["--site", "bob/site"]);
    assert_eq!(run.refused("request-differs").exit, 1);
    run.says(&format!("role group.clinics, {path}: ")).says(&old).says(&"e".repeat(64));
    assert!(!signed(&scene));
    // Without --site, the folder that is found is the one to compare with.
    add(&scene, "forged", &[]).refused("request-differs");
}

#[test]
fn without_a_site_everything_is_listed_and_must_be_taken_at_one_s_own_risk() {
    let scene = asked();
    let mut swapped = None;
    forged(&scene, |request| {
        swapped = Some(swap(request));
        request["summary"] = json!(["nothing of note\n  targets 9: 1 target"]);
    });
    let (path, old) = swapped.unwrap();
    fs::rename(scene.path("site"), scene.path("elsewhere")).unwrap();
    let run = add(&scene, "forged", &[]);
    run.refused("usage-invalid").says("  why: there is no site in .").says("--without-site");
    run.says("claims").says("  | nothing of note\n  |   targets 9: 1 target");
    run.says("targets 2: 1 target, until 2027-04-05T12:00:00Z").says("appliances/lux-001.json: ");
    run.says(&format!("{path}: ")).says(&format!("bytes, SHA-256 {}", "e".repeat(64)));
    run.says("groups/clinics/manifest.json: ").says("hands to group.clinics paths groups/clinics/*");
    assert!(!run.stderr.contains(&old));
    assert!(!signed(&scene));
    add(&scene, "forged", &["--without-site", "--site", "bob/site"]).refused("usage-invalid");
    add(&scene, "forged", &["--site", "nowhere"]).refused("site-invalid");
    assert!(!signed(&scene));
    let run = add(&scene, "forged", &["--without-site"]);
    assert_eq!(run.exit, 0, "{run:?}");
    run.says(&format!("{path}: "));
    assert!(!run.stderr.contains("your own site folder"));
    assert!(signed(&scene));
}

#[test]
fn whatever_else_differs_from_the_own_site_is_named() {
    let scene = asked();
    let cases: [(&str, Forge); 9] = [
        (
            "role targets, appliances/lux-002.json: 3 bytes, SHA-256 aa in the request, absent in your folder",
            |request| {
                draft(request, "targets")["targets"]["appliances/lux-002.json"] =
                    json!({"length": 3, "hashes": {"sha256": "aa"}});
            },
        ),
        ("role targets, appliances/lux-001.json: absent in the request", |request| {
            draft(request, "targets")["targets"] = json!({});
        }),
        ("role targets, delegations: hands to group.clinics", |request| {
            draft(request, "targets")["delegations"]["roles"][0]["threshold"] = json!(1);
        }),
        ("role targets, who signs: 1 of 2 keys", |request| request["signers"]["targets"]["threshold"] = json!(1)),
        ("role targets, version: 9 in the request, 2 in your folder", |request| {
            draft(request, "targets")["version"] = json!(9);
        }),
        ("role targets, expiry: 2099-01-01T00:00:00Z in the request", |request| {
            draft(request, "targets")["expires"] = json!("2099-01-01T00:00:00Z");
        }),
        ("role targets, expiry: 2027-04-05T11:59:59Z in the request", |request| {
            draft(request, "targets")["expires"] = json!("2027-04-05T11:59:59Z");
        }),
        (
            "role group.clinics, the whole role: not to be signed in the request, to be signed in your folder",
            |request| {
                request["drafts"].as_array_mut().unwrap().pop();
            },
        ),
        ("role group.labs, the whole role: to be signed in the request, not to be signed in your folder", |request| {
            let mut other = request["drafts"][1].clone();
            other["role"] = json!("group.labs");
            request["drafts"].as_array_mut().unwrap().push(other);
        }),
    ];
    for (difference, forge) in cases {
        forged(&scene, forge);
        add(&scene, "forged", &["--site", "bob/site"]).refused("request-differs").says(difference);
        assert!(!signed(&scene), "{difference}");
    }
}

#[test]
fn a_site_folder_that_fell_behind_signs_nothing() {
    let scene = asked();
    scene.edit("bob/site/groups/clinics/bundle.toml", "First", "Second");
    add(&scene, "r", &["--site", "bob/site"]).refused("request-differs").says("groups/clinics/manifest.json");
    assert!(!signed(&scene));
}

#[test]
fn other_words_than_the_own_site_s_are_shown_as_the_requester_s() {
    let scene = asked();
    forged(&scene, |request| request["summary"] = json!(["routine"]));
    let run = add(&scene, "forged", &["--site", "bob/site"]);
    assert_eq!(run.exit, 0, "{run:?}");
    run.says("What the requester claims").says("  | routine").says("lux-001: addressed for the first time");
}

#[test]
fn a_second_draft_of_a_role_cannot_hide_behind_the_first() {
    let scene = asked();
    forged(&scene, |request| {
        let mut second = request["drafts"][1].clone();
        second["signed"]["targets"] = json!({});
        request["drafts"].as_array_mut().unwrap().push(second);
    });
    for more in [&["--site", "bob/site"][..], &["--without-site"]] {
        add(&scene, "forged", more).refused("usage-invalid").says("\"group.clinics\" twice");
    }
    forged(&scene, |request| request["drafts"][0]["role"] = json!("snapshot"));
    add(&scene, "forged", &["--without-site"]).refused("usage-invalid").says("which no request is for");
    forged(&scene, |request| draft(request, "targets")["_type"] = json!("root"));
    add(&scene, "forged", &["--without-site"]).refused("usage-invalid").says("something else than targets metadata");
    assert!(!signed(&scene));
}
