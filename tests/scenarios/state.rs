//! Lost, rotten and disagreeing copies of what must never fall back, and a full disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use casemate_agent::store::{Damage, Options, Recovery};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::evidence::frame;
use casemate_tests::state_folder::{self, OWNERS, StateFolder, content, current};
use tempfile::TempDir;

const STATE: &str = env!("CARGO_BIN_EXE_casemate-state");

/// Versions 1 to `versions` imported; closed in order, or as if killed.
fn filled(versions: u64, orderly: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut appliance, _) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
    for version in 1..=versions {
        appliance.import(version).unwrap();
    }
    if orderly {
        appliance.close().unwrap();
    }
    folder
}

fn floor(appliance: &StateFolder) -> u64 {
    appliance.store().state().floors.floors.timestamp.as_ref().map_or(0, |floor| floor.version.get())
}

fn segment(folder: &Path) -> PathBuf {
    folder.join("journal/0000000000000000.journal")
}

/// Where the journal's last frame starts, and where it ends.
fn last_frame(bytes: &[u8]) -> (usize, usize) {
    let (mut before, mut at) = (64, 64);
    while let frame::Found::Frame(frame) = frame::read(&bytes[at..]) {
        before = at;
        at += frame.padded;
    }
    (before, at)
}

#[test]
fn an_older_journal_put_back_is_noticed_by_the_second_copy_and_the_higher_floors_hold() {
    let folder = filled(2, true);
    let aside = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(folder.path().join("journal")).arg(aside.path()).status();
    assert!(copied.unwrap().success());
    let (mut appliance, _) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
    appliance.import(7).unwrap();
    appliance.close().unwrap();

    fs::remove_dir_all(folder.path().join("journal")).unwrap();
    fs::rename(aside.path().join("journal"), folder.path().join("journal")).unwrap();
    let (mut restored, recovery) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
    assert!(matches!(recovery, Recovery::Quarantine { damage: Damage::Lost { .. } }), "{recovery:?}");
    assert_eq!(floor(&restored), 7);
    assert_eq!(restored.import(3).unwrap_err().code(), Code::StateDamaged);
    assert_eq!(current(folder.path(), OWNERS[0]).unwrap(), content(OWNERS[0], 7), "what runs keeps running");
}

#[test]
fn a_deleted_journal_is_no_fresh_start() {
    let folder = filled(3, true);
    fs::remove_dir_all(folder.path().join("journal")).unwrap();
    let (appliance, recovery) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
    assert!(matches!(recovery, Recovery::Quarantine { damage: Damage::Lost { held: 0, .. } }), "{recovery:?}");
    assert_eq!(floor(&appliance), 3);
}

#[test]
fn an_acknowledged_last_record_that_rots_is_not_taken_for_a_torn_end() {
    let folder = filled(2, false);
    let mut bytes = fs::read(segment(folder.path())).unwrap();
    let (start, _) = last_frame(&bytes);
    bytes[start + 40] ^= 1;
    fs::write(segment(folder.path()), &bytes).unwrap();
    let (appliance, recovery) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
    assert!(matches!(recovery, Recovery::Quarantine { damage: Damage::Lost { .. } }), "{recovery:?}");
    assert_eq!(floor(&appliance), 2);
}

#[test]
fn every_record_of_a_floor_may_rot_in_the_journal_and_the_floor_still_holds() {
    let folder = filled(4, false);
    let whole = fs::read(segment(folder.path())).unwrap();
    let mut at = 64;
    while let frame::Found::Frame(frame) = frame::read(&whole[at..]) {
        let mut bytes = whole.clone();
        bytes[at + frame.padded / 2] ^= 8;
        fs::write(segment(folder.path()), &bytes).unwrap();
        let (appliance, recovery) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
        assert!(matches!(recovery, Recovery::Quarantine { .. }), "byte {at}: {recovery:?}");
        assert_eq!(floor(&appliance), 4, "byte {at}");
        at += frame.padded;
    }
}

#[test]
fn a_rotten_second_copy_costs_nothing_whatever_sled_makes_of_it() {
    for orderly in [true, false] {
        let folder = filled(2, orderly);
        let saved = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let length = fs::metadata(path.join("db")).unwrap().len();
        assert!(Command::new("cp").arg("-a").arg(&path).arg(saved.path()).status().unwrap().success());
        for part in 0..20 {
            let _ = fs::remove_dir_all(&path);
            assert!(Command::new("cp").arg("-a").arg(saved.path().join("copy")).arg(&path).status().unwrap().success());
            let mut bytes = fs::read(path.join("db")).unwrap();
            let at = usize::try_from(length * part / 20).unwrap() + 11;
            bytes[at] ^= 1 << (part % 8);
            fs::write(path.join("db"), &bytes).unwrap();
            let (appliance, recovery) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
            assert!(!matches!(recovery, Recovery::Quarantine { .. }), "part {part}: {recovery:?}");
            assert_eq!(floor(&appliance), 2);
            assert!(folder.path().join("copy.set-aside").exists());
        }
        let (mut appliance, _) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
        appliance.import(3).unwrap();
        assert!(appliance.store().is_copied(), "a new copy follows again");
    }
}

#[test]
fn a_probe_that_dies_or_answers_rubbish_only_means_that_the_copy_is_set_aside() {
    for program in ["/bin/false", "/bin/echo", "/nonexistent"] {
        let folder = filled(2, false);
        let options = Options { probe: Some((program.into(), Vec::new())) };
        let (appliance, recovery) = StateFolder::open(folder.path(), &options);
        assert!(matches!(recovery, Recovery::Replayed { .. }), "{program}: {recovery:?}");
        assert_eq!(floor(&appliance), 2);
    }
}

#[test]
fn damage_leaves_the_second_copy_where_it_is() {
    let folder = filled(3, true);
    let mut bytes = fs::read(segment(folder.path())).unwrap();
    bytes[100] ^= 1;
    fs::write(segment(folder.path()), &bytes).unwrap();
    let (_, recovery) = StateFolder::open(folder.path(), &state_folder::probe(STATE));
    assert!(matches!(recovery, Recovery::Quarantine { .. }), "{recovery:?}");
    assert!(folder.path().join("copy/db").exists() && !folder.path().join("copy.set-aside").exists());
}

/// Runs `casemate-state fill` on a file system of `size` KiB of its own. None where user namespaces are forbidden.
fn fill(size: u32) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o "size=$1k" tmpfs "$2" && exec "$3" fill "$2/state""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh", &size.to_string()]);
    let output = command.arg(folder.path()).arg(STATE).output().ok()?;
    let said = String::from_utf8(output.stdout).unwrap();
    if said.is_empty() {
        eprintln!("not checked here: {}", String::from_utf8_lossy(&output.stderr));
    }
    (!said.is_empty()).then_some(said)
}

#[test]
fn a_full_disk_is_reported_and_the_state_opens_on_it() {
    // Sizes at which space runs out in different places: at once, before the second segment, within it.
    for size in [900, 1_500, 2_200, 2_600, 3_500, 5_000] {
        let Some(said) = fill(size) else { continue };
        let lines: Vec<&str> = said.lines().collect();
        let first: Vec<&str> = lines[0].split(' ').collect();
        assert_eq!(first[0], "disk-full", "{size} KiB: {said}");
        assert!(!lines[1].contains("Quarantine"), "{size} KiB: {said}");
        assert_eq!(lines[2].split(' ').next_back(), first.last().copied(), "{size} KiB: {said}");
    }
}
