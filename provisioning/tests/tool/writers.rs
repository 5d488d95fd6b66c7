//! Concurrent and interrupted writers.

use std::fs::{self, File};
use std::process::Stdio;

use crate::scene::Scene;

#[test]
fn of_two_writers_at_once_one_wins_and_the_other_changes_nothing() {
    let scene = Scene::demo();
    scene.ok(&["plan"]);
    let children: Vec<_> = (0..4)
        .map(|_| scene.command(&["sign"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let won = outputs.iter().filter(|output| output.status.success()).count();
    assert_eq!(won, 1, "{outputs:?}");
    for output in outputs.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        let known = ["(state-busy)", "(plan-missing)", "(plan-stale)"].iter().any(|code| said.contains(code));
        assert!(known, "{said}");
    }
    assert!(scene.path("site/repository/metadata/2.timestamp.json").exists());
    assert!(!scene.path("site/repository/metadata/3.timestamp.json").exists());
}

#[test]
fn a_writer_waits_for_nobody_and_says_who_holds_the_lock() {
    let scene = Scene::demo();
    scene.ok(&["plan"]);
    let lock = File::options().write(true).open(scene.path("site/repository/.lock")).unwrap();
    lock.lock().unwrap();
    for command in ["sign", "plan"] {
        let run = scene.run(&[command]);
        assert_eq!(run.refused("state-busy").exit, 3);
    }
    drop(lock);
    scene.ok(&["sign"]);
}

#[test]
fn a_version_that_was_written_but_never_published_is_not_given_to_other_content() {
    let scene = Scene::demo();
    scene.publish();
    // As after a power cut between the metadata and the timestamp's rename.
    let metadata = scene.path("site/repository/metadata");
    fs::write(metadata.join("2.group.clinics.json"), "left behind").unwrap();
    fs::write(metadata.join("3.snapshot.json"), "left behind").unwrap();
    fs::write(metadata.join("3.timestamp.json"), "left behind").unwrap();
    scene.appliance("lux-001", 1, "clinics");
    scene.edit("site/groups/clinics/bundle.toml", "First", "Second");
    scene.ok(&["plan"]);
    scene.ok(&["sign"]).says("group.clinics 3").says("snapshot 4").says("timestamp 4");
    assert_eq!(scene.read("site/repository/metadata/2.group.clinics.json"), "left behind");
    scene.ok(&["check"]);
}

#[test]
fn a_request_whose_versions_were_taken_meanwhile_is_made_again() {
    let scene = Scene::two_persons();
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "a.request"]);
    let keys = ["--key", "site-keys/anna.key", "--key", "site-keys/bob.key"];
    scene.ok(&[&["sign", "add", "a.request", "-o", "both.sig"][..], &keys].concat());
    fs::write(scene.path("site/repository/metadata/2.targets.json"), "left behind").unwrap();
    scene
        .run(&["sign", "finish", "both.sig"])
        .refused("plan-stale")
        .says("2.targets.json exists already with other content");
    scene.ok(&["sign", "request", "-o", "b.request"]);
    scene.ok(&[&["sign", "add", "b.request", "-o", "both2.sig"][..], &keys].concat());
    scene.ok(&["sign", "finish", "both2.sig"]).says("targets 3");
}

#[test]
fn a_damaged_repository_is_refused_and_left_alone() {
    let scene = Scene::demo();
    scene.publish();
    let path = "site/repository/metadata/2.targets.json";
    let raw = scene.read(path);
    scene.write(path, &raw.replacen("groups", "gruops", 1));
    scene.run(&["plan"]).refused("state-damaged").says("is not what the snapshot says");
    fs::remove_file(scene.path(path)).unwrap();
    assert_ne!(scene.run(&["plan"]).exit, 0, "an absent file is not an empty repository");
    scene.write(path, &raw);
    scene.ok(&["plan"]);
}
