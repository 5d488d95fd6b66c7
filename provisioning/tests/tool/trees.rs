//! The repository as a web server's folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::scene::Scene;

fn site() -> Scene {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.publish();
    scene
}

/// Every file below `folder` but locks, by its path there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(".lock") {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn change(scene: &Scene, text: &str) {
    scene.write("site/groups/clinics/files/motd.in", &format!("{{{{ organisation }}}}: {text}"));
    scene.publish();
}

#[test]
fn what_is_served_is_what_the_newest_state_names_readable_by_the_server() {
    let scene = site();
    scene.ok(&["pack", "--dir", "web"]).says("0 there already");
    let served = files(&scene.path("web"));
    let all = files(&scene.path("site/repository"));
    assert!(served.iter().all(|(path, content)| all.get(path) == Some(content)));
    // Of the repository's own files the first, empty state is not published.
    assert!(!served.contains_key(Path::new("metadata/1.timestamp.json")));
    assert!(served.contains_key(Path::new("metadata/timestamp.json")));
    assert!(served.contains_key(Path::new("metadata/1.root.json")));
    for path in served.keys() {
        let mode = fs::metadata(scene.path("web").join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{}", path.display());
    }
    scene.ok(&["pack", "--dir", "web"]).says("0 files written");
    assert_eq!(files(&scene.path("web")), served);
}

#[test]
fn files_of_older_states_stay_until_they_are_pruned_and_those_of_the_last_one_even_then() {
    let scene = site();
    let mut states = Vec::new();
    for text in ["one\n", "two\n", "three\n"] {
        change(&scene, text);
        scene.ok(&["pack", "--dir", "web"]);
        states.push(files(&scene.path("web")));
    }
    assert!(states[0].keys().all(|path| states[2].contains_key(path)));
    change(&scene, "four\n");
    scene.ok(&["pack", "--dir", "web", "--prune"]).says("pruned");
    let pruned = files(&scene.path("web"));
    let has = |text: &str| pruned.values().any(|content| content.ends_with(text.as_bytes()));
    assert!(!has(": one\n") && !has(": two\n") && has(": three\n") && has(": four\n"));
    assert!(pruned.contains_key(Path::new("metadata/1.root.json")));
    // What is no file of a repository is nobody's to take away.
    scene.write("web/targets/robots.txt", "x");
    scene.ok(&["pack", "--dir", "web", "--prune"]);
    assert!(scene.path("web/targets/robots.txt").exists());
}

#[test]
fn a_rotten_file_is_written_anew_and_a_newer_state_is_never_replaced() {
    let scene = site();
    scene.ok(&["pack", "--dir", "web"]);
    let before = files(&scene.path("web"));
    let (path, content) = before.iter().find(|(path, _)| path.to_string_lossy().ends_with(".motd")).unwrap();
    let mut rotten = content.clone();
    rotten[0] ^= 1;
    fs::write(scene.path("web").join(path), rotten).unwrap();
    scene.ok(&["pack", "--dir", "web"]).says("1 file written");
    assert_eq!(files(&scene.path("web")), before);

    let old = fs::read(scene.path("site/repository/metadata/timestamp.json")).unwrap();
    change(&scene, "newer\n");
    scene.ok(&["pack", "--dir", "web"]);
    let newer = files(&scene.path("web"));
    fs::write(scene.path("site/repository/metadata/timestamp.json"), old).unwrap();
    scene.run(&["pack", "--dir", "web"]).refused("metadata-rollback");
    assert_eq!(files(&scene.path("web")), newer);
}

#[test]
fn what_an_appliance_would_refuse_is_never_published_and_a_tree_is_whole() {
    let mut scene = site();
    scene.run(&["pack", "--dir", "web", "--group", "clinics"]);
    assert!(!scene.path("web").exists(), "there is no tree for some");
    scene.now = "2026-06-01T00:00:00Z".into();
    scene.run(&["pack", "--dir", "web"]).refused("metadata-expired");
    assert!(!scene.path("web").exists());
}
