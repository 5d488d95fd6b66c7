//! Generations on a real folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Owner;
use tempfile::TempDir;

use super::{TreeFile, Trees};

fn owner() -> Owner {
    "group.clinics".parse().unwrap()
}

fn file(folder: &Path, path: &str, text: &str) -> TreeFile {
    let object = folder.join(format!("object-{text}"));
    fs::write(&object, text).unwrap();
    TreeFile { path: path.parse().unwrap(), object }
}

fn trees() -> (TempDir, Trees) {
    let folder = tempfile::tempdir().unwrap();
    let trees = Trees::new(folder.path());
    for number in 1..=3 {
        let files = ["a", "b/c", "b/d/e"].map(|path| file(folder.path(), path, &format!("{number}")));
        trees.stage(&owner(), number, &files).unwrap();
    }
    (folder, trees)
}

#[test]
fn a_generation_is_read_only_and_current_is_one_relative_link() {
    let (folder, trees) = trees();
    trees.switch(&owner(), 2).unwrap();
    let current = trees.current_path(&owner());
    assert_eq!(fs::read_link(&current).unwrap(), Path::new("../../generations/groups/clinics/2"));
    assert_eq!(fs::read_to_string(current.join("b/d/e")).unwrap(), "2");
    for folder in [trees.generation_path(&owner(), 2), trees.generation_path(&owner(), 2).join("b/d")] {
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o555);
    }
    let elsewhere = folder.path().with_extension("moved");
    fs::rename(folder.path(), &elsewhere).unwrap();
    assert_eq!(fs::read_to_string(elsewhere.join("current/groups/clinics/a")).unwrap(), "2");
    fs::rename(&elsewhere, folder.path()).unwrap();
}

#[test]
fn every_effect_done_twice_is_done_once() {
    let (folder, trees) = trees();
    for _ in 0..2 {
        trees.stage(&owner(), 3, &[file(folder.path(), "other", "x")]).unwrap();
        assert!(!trees.generation_path(&owner(), 3).join("other").exists(), "a whole generation was changed");
    }
    for number in [1, 1, 2, 2] {
        trees.switch(&owner(), number).unwrap();
        assert_eq!(trees.current(&owner()), Some(number));
    }
    for before in [Some(1), Some(1), None, None] {
        trees.restore(&owner(), before).unwrap();
        assert_eq!(trees.current(&owner()), before);
    }
    for _ in 0..2 {
        trees.discard(&owner(), 1).unwrap();
        assert!(!trees.generation_path(&owner(), 1).exists());
    }
    for _ in 0..2 {
        trees.remove(&owner()).unwrap();
        assert!(!trees.current_path(&owner()).exists() && !trees.generation_path(&owner(), 2).exists());
    }
}

#[test]
fn what_a_crash_left_half_built_is_built_anew() {
    let (folder, trees) = trees();
    let partial = folder.path().join("generations/groups/clinics/4.partial/b");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("leftover"), "x").unwrap();
    trees.stage(&owner(), 4, &[file(folder.path(), "a", "4")]).unwrap();
    assert!(!trees.generation_path(&owner(), 4).join("b").exists());
}

#[test]
fn a_generation_that_is_not_there_never_becomes_current() {
    let (_folder, trees) = trees();
    trees.switch(&owner(), 1).unwrap();
    let error = trees.switch(&owner(), 9).unwrap_err();
    assert_eq!((error.code(), trees.current(&owner())), (Code::StateUnavailable, Some(1)));
}

#[test]
fn sweeping_takes_what_nothing_leads_to_and_never_what_is_current() {
    let (folder, trees) = trees();
    trees.switch(&owner(), 1).unwrap();
    fs::create_dir(folder.path().join("generations/groups/clinics/7.partial")).unwrap();
    trees.sweep(&BTreeMap::from([(owner(), BTreeSet::from([3]))])).unwrap();
    let mut left: Vec<_> = fs::read_dir(folder.path().join("generations/groups/clinics"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["1", "3"]);
}
