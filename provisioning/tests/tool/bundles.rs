//! What is packed, for whom, and what `inspect` says.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::process::Command;

use crate::scene::Scene;

fn three() -> Scene {
    let scene = Scene::demo();
    scene.write("site/groups/labs/bundle.toml", "format = 1\nsummary = \"labs\"\n[[file]]\npath = \"a/lab.conf\"\n");
    scene.write("site/groups/labs/files/a/lab.conf", "lab only\n");
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "clinics");
    scene.appliance("lux-003", 3, "labs");
    scene.write("site/groups/clinics/values/lux-002.toml", "organisation = \"the second clinic\"\n");
    scene.publish();
    scene
}

#[test]
fn a_bundle_for_one_group_holds_nothing_of_the_others() {
    let scene = three();
    scene.ok(&["pack", "--bundle", "out", "--group", "clinics"]);
    let file = format!("out/{}", scene.list("out")[0]);
    let said = scene.ok(&["--json", "inspect", &file]).json();
    let bundle = &said["bundles"][0];
    let ids: Vec<_> = bundle["appliances"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, ["lux-001", "lux-002"]);
    let raw = fs::read(scene.path(&file)).unwrap();
    assert!(!raw.windows(8).any(|window| window == b"lab only"));
    assert!(raw.windows(17).any(|window| window == b"the second clinic"));
    let listing = Command::new("tar").arg("tf").arg(scene.path(&file)).output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let names: Vec<_> = listing.lines().collect();
    assert_eq!(
        names[..4],
        ["metadata/1.root.json", "metadata/2.timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json"]
    );
    assert!(names.contains(&"metadata/1.group.clinics.json"));
    assert!(!names.iter().any(|name| name.contains("group.labs")));
    assert_eq!(
        listing,
        String::from_utf8(Command::new("tar").arg("tf").arg(scene.path(&file)).output().unwrap().stdout).unwrap()
    );
}

#[test]
fn packing_twice_gives_the_same_bytes() {
    let scene = three();
    scene.ok(&["pack", "--bundle", "one"]);
    scene.ok(&["pack", "--bundle", "two"]);
    assert_eq!(scene.list("one"), scene.list("two"));
    scene.ok(&["pack", "--bundle", "one"]);
    assert_eq!(scene.list("one").len(), 1, "no temporary file stays either");
}

#[test]
fn nobody_can_be_addressed_who_is_not_signed_for() {
    let scene = three();
    scene.run(&["pack", "--bundle", "out", "--appliance", "lux-009"]).refused("unknown-appliance");
    scene
        .run(&["pack", "--bundle", "out", "--group", "clinic"])
        .refused("site-invalid")
        .says("did you mean \"clinics\"?");
    scene.run(&["pack", "--bundle", "out", "--since-root", "2"]).refused("usage-invalid").says("the newest is 1");
    assert!(!scene.path("out").exists());
}

#[test]
fn what_an_appliance_would_refuse_is_never_packed() {
    let mut scene = three();
    let stored = scene.path("site/repository/targets/groups/labs/files/a");
    let file = fs::read_dir(&stored).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "lab 0nly\n").unwrap();
    scene.run(&["check"]).refused("object-mismatch");
    scene.run(&["pack", "--bundle", "out"]).refused("object-mismatch");
    assert!(!scene.path("out").exists());
    scene.ok(&["pack", "--bundle", "out", "--group", "clinics"]);
    scene.now = "2026-06-01T00:00:00Z".into();
    scene.run(&["pack", "--bundle", "late"]).refused("metadata-expired");
    assert!(!scene.path("late").exists());
}

#[test]
fn inspect_says_whether_a_root_vouched_and_names_what_is_wrong() {
    let scene = three();
    scene.ok(&["pack", "--bundle", "out"]);
    let file = format!("out/{}", scene.list("out")[0]);
    scene.ok(&["inspect", &file]).says("not verified: no --root was given");
    scene.ok(&["inspect", &file, "--root", "site/repository/metadata/1.root.json"]).says("yes, by the given root");
    let other = Scene::demo();
    fs::copy(other.path("site/repository/metadata/1.root.json"), scene.path("other.json")).unwrap();
    assert_ne!(scene.run(&["inspect", &file, "--root", "other.json"]).exit, 0, "a stranger's root vouches for nothing");
    let mut raw = fs::read(scene.path(&file)).unwrap();
    let at = raw.windows(8).position(|window| window == b"lab only").unwrap();
    raw[at] ^= 1;
    fs::write(scene.path("bad.casemate"), &raw).unwrap();
    scene.run(&["inspect", "bad.casemate"]).refused("object-mismatch");
    fs::write(scene.path("short.casemate"), &raw[..raw.len() / 2]).unwrap();
    assert_eq!(scene.run(&["inspect", "short.casemate", &file]).exit, 1);
}

#[test]
fn a_file_over_64_mib_travels_in_parts() {
    let scene = Scene::demo();
    scene.write("site/groups/clinics/bundle.toml", "format = 1\nsummary = \"model\"\n[[file]]\npath = \"m/model\"\n");
    fs::remove_dir_all(scene.path("site/groups/clinics/values")).unwrap();
    fs::remove_file(scene.path("site/groups/clinics/files/motd.in")).unwrap();
    scene.write("site/groups/clinics/files/m/model", "start");
    let mut file = fs::OpenOptions::new().write(true).open(scene.path("site/groups/clinics/files/m/model")).unwrap();
    file.seek(SeekFrom::Start(64 << 20)).unwrap();
    file.write_all(b"the end").unwrap();
    drop(file);
    scene.appliance("lux-001", 1, "clinics");
    scene.publish();
    let names = scene.list("site/repository/targets/groups/clinics/files/m/model");
    assert_eq!(names.len(), 2, "{names:?}");
    scene.ok(&["pack", "--bundle", "out"]);
    let file = format!("out/{}", scene.list("out")[0]);
    let said = scene.ok(&["--json", "inspect", &file]).json();
    let model = &said["bundles"][0]["appliances"][0]["owners"][0]["files"][0];
    assert_eq!((model["parts"].clone(), model["length"].clone()), (2.into(), ((64 << 20) + 7).into()));
}

#[test]
fn an_empty_file_and_equal_files_are_fine() {
    let scene = Scene::demo();
    scene.write(
        "site/groups/clinics/bundle.toml",
        "format = 1\nsummary = \"x\"\n[[file]]\npath = \"a\"\n[[file]]\npath = \"b\"\n[[file]]\npath = \"empty\"\n",
    );
    fs::remove_dir_all(scene.path("site/groups/clinics/values")).unwrap();
    scene.write("site/groups/clinics/files/a", "same");
    scene.write("site/groups/clinics/files/b", "same");
    scene.write("site/groups/clinics/files/empty", "");
    scene.appliance("lux-001", 1, "clinics");
    scene.publish();
    scene.ok(&["pack", "--bundle", "out"]);
}
