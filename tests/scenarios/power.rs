//! kill -9 at any moment of an import leaves the old or the new generation, whole, and a journal that says which.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use casemate_agent::store::Recovery;
use casemate_protocol::evidence::{frame, merkle};
use casemate_tests::state_folder::{self, OWNERS, StateFolder, content, current};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

const STATE: &str = env!("CARGO_BIN_EXE_casemate-state");

/// Where nothing waits for a disk: kill -9 takes the process, not the page cache.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

/// A state folder in which version 1 is current, as an orderly end leaves it.
fn prepared() -> TempDir {
    let base = folder();
    let (mut appliance, _) = StateFolder::open(base.path(), &state_folder::probe(STATE));
    appliance.import(1).unwrap();
    appliance.close().unwrap();
    base
}

struct Run {
    /// System call entries and exits of the main thread.
    stops: usize,
    /// It had said that the import is done.
    acknowledged: bool,
}

/// As [`killed_at`], of an import.
fn import_killed_at(folder: &Path, version: u64, at: usize) -> Run {
    killed_at("import", folder, version, at)
}

/// Carries `version` out as `what` says, killed at the `at`-th entry into or exit from a system call of its main thread.
fn killed_at(what: &str, folder: &Path, version: u64, at: usize) -> Run {
    let mut child = Command::new(STATE)
        .args(["traced", what, folder.to_str().unwrap(), &version.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::Stopped(_, Signal::SIGSTOP)));
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL).unwrap();
    let (mut stops, mut signal) = (0, None);
    loop {
        if stops == at {
            kill(pid, Signal::SIGKILL).unwrap();
        } else {
            ptrace::syscall(pid, signal.take()).unwrap();
        }
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) => stops += 1,
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0);
                break;
            }
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => break,
            other => panic!("{other:?}"),
        }
    }
    // Reaped above already.
    let _ = child.wait();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    Run { stops, acknowledged: said == "done\n" }
}

fn assert_tree_matches_journal(folder: &Path, appliance: &StateFolder) {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(folder.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .collect();
    segments.sort();
    let mut leaves = Vec::new();
    for segment in segments {
        let bytes = std::fs::read(segment).unwrap();
        let mut at = 64;
        while let frame::Found::Frame(frame) = frame::read(&bytes[at..]) {
            leaves.extend(frame.records.iter().map(frame::FrameRecord::leaf));
            at += frame.padded;
        }
    }
    let position = appliance.store().position();
    assert_eq!((position.size, position.root), (leaves.len() as u64, merkle::root(&leaves)));
}

/// What must hold after a kill, before recovery and after it. Returns how many receipts there are then.
fn assert_whole(folder: &Path, acknowledged: bool, context: &str) -> (u64, u64) {
    for owner in OWNERS {
        let files = current(folder, owner).unwrap_or_else(|| panic!("{context}: {owner} has nothing current"));
        let version = (1..=2).find(|version| files == content(owner, *version));
        let version = version.unwrap_or_else(|| panic!("{context}: {owner} is a mixture"));
        assert!(version == 2 || !acknowledged, "{context}: acknowledged and gone");
    }
    let (mut appliance, recovery) = StateFolder::open(folder, &state_folder::probe(STATE));
    assert!(!matches!(recovery, Recovery::Quarantine { .. }), "{context}: {recovery:?}");
    assert_tree_matches_journal(folder, &appliance);
    let state = appliance.store().state();
    assert!(state.bundle.is_none() && state.owners.values().all(casemate_engine::update::State::is_settled));
    // The acceptance is the point of no return: from there on recovery carries the bundle to its end.
    let floor = state.floors.floors.timestamp.as_ref().unwrap().version.get();
    assert!(floor == 2 || !acknowledged, "{context}: acknowledged and gone");
    for owner in OWNERS {
        assert_eq!(current(folder, owner).unwrap(), content(owner, floor), "{context}: {owner}");
    }
    let receipts = state.receipts;
    appliance.import(2).unwrap();
    for owner in OWNERS {
        assert_eq!(current(folder, owner).unwrap(), content(owner, 2), "{context}: {owner} after another import");
    }
    appliance.close().unwrap();
    (floor, receipts)
}

fn stops_of_a_whole_import() -> usize {
    let base = prepared();
    let run = import_killed_at(base.path(), 2, usize::MAX);
    assert!(run.acknowledged);
    run.stops
}

/// `count` points below `below`, any but the same in every run.
fn points(seed: u64, count: usize, below: usize) -> Vec<usize> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn killed_at_any_system_call_an_import_leaves_the_old_or_the_new_generation_whole() {
    let base = prepared();
    // Every second stop is the end of a system call: the moments between two are all the same to the disk.
    for at in (0..stops_of_a_whole_import()).step_by(2) {
        let state = folder();
        copy(base.path(), state.path());
        let run = import_killed_at(state.path(), 2, at);
        let context = format!("killed at {at}");
        let (floor, receipts) = assert_whole(state.path(), run.acknowledged, &context);
        assert_eq!(floor, receipts, "{context}: one receipt a bundle");
    }
}

#[test]
fn killed_again_while_it_recovers_it_still_does() {
    let base = prepared();
    let stops = stops_of_a_whole_import();
    for (first, second) in points(1, 110, stops).into_iter().zip(points(2, 110, stops)) {
        let state = folder();
        copy(base.path(), state.path());
        let acknowledged = [first, second].map(|at| import_killed_at(state.path(), 2, at).acknowledged);
        let context = format!("killed at {first}, then at {second}");
        assert_whole(state.path(), acknowledged != [false, false], &context);
    }
}

#[test]
fn killed_at_any_moment_of_a_trial_each_owner_ends_where_its_consumer_says_and_the_bundle_has_one_receipt() {
    let base = prepared();
    let probe = state_folder::probe(STATE);
    let whole = folder();
    copy(base.path(), whole.path());
    let stops = killed_at("try", whole.path(), 2, usize::MAX).stops;
    // A slice: the moments are those of an import, which are tried one by one.
    for at in (0..stops).step_by(14) {
        let state = folder();
        copy(base.path(), state.path());
        let acknowledged = killed_at("try", state.path(), 2, at).acknowledged;
        let context = format!("killed at {at} of {stops}");
        for owner in OWNERS {
            let files =
                current(state.path(), owner).unwrap_or_else(|| panic!("{context}: {owner} has nothing current"));
            assert!((1..=2).any(|version| files == content(owner, version)), "{context}: {owner} is a mixture");
        }
        let (mut appliance, recovery) = StateFolder::open(state.path(), &probe);
        assert!(!matches!(recovery, Recovery::Quarantine { .. }), "{context}: {recovery:?}");
        assert_tree_matches_journal(state.path(), &appliance);
        let floor = appliance.store().state().floors.floors.timestamp.as_ref().unwrap().version.get();
        assert!(floor == 2 || !acknowledged, "{context}: acknowledged and gone");
        // Whatever was under way still is, or has ended: the consumers say it again.
        appliance.decide().unwrap();
        let ends = OWNERS.map(|owner| if owner == OWNERS[0] { 1 } else { floor });
        for (owner, version) in OWNERS.into_iter().zip(ends) {
            assert_eq!(current(state.path(), owner).unwrap(), content(owner, version), "{context}: {owner}");
        }
        let settled = appliance.store().state();
        assert!(settled.bundle.is_none(), "{context}");
        assert_eq!(settled.receipts, floor, "{context}: one receipt a bundle");
        appliance.close().unwrap();
    }
}

/// Whoever signs for an owner decides how many files and folders a generation has, and a flush of one costs milliseconds:
/// one by one they could take longer than the service manager waits, at every start again.
#[test]
fn thousands_of_files_and_folders_are_flushed_by_a_few_calls() {
    let base = folder();
    let (state, log) = (base.path().join("state"), base.path().join("calls"));
    let output = Command::new("strace")
        .args(["-f", "-o", log.to_str().unwrap(), "-e", "trace=fsync,fdatasync,syncfs"])
        .args([STATE, "many", state.to_str().unwrap(), "2000"])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout == b"done\n", "{output:?}");
    let log = std::fs::read_to_string(log).unwrap();
    let calls = |name: &str| log.lines().filter(|line| line.contains(name)).count();
    assert_eq!(calls("syncfs("), 2, "the files, then the folders: {log}");
    assert!(calls("fsync(") + calls("fdatasync(") < 100, "{log}");
}
