//! Firmware slots: kill -9 at any moment, and what a power cut can leave behind.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

const WRITER: &str = env!("CARGO_BIN_EXE_slot-writer");
/// Two chunks of the writer and a bit.
const LENGTH: usize = 2 * 1024 * 1024 + 77;

/// A system that runs from slot a; slot b, marked or not, holds what was there before.
fn system(next: &str) -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    write("a", &vec![b'a'; LENGTH]);
    write("b", &vec![b'b'; LENGTH]);
    write("new", &vec![b'n'; LENGTH]);
    write("pointer", format!("{next}\n").as_bytes());
    write("cmdline", b"quiet casemate.slot=a\n");
    folder
}

/// Writes a slot, killed at the `at`-th entry into or exit from a system call; how many there were, and whether it ended.
fn killed_at(folder: &Path, at: usize) -> (usize, bool) {
    let mut child = Command::new(WRITER).arg("traced").arg(folder).stdin(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::Stopped(_, Signal::SIGSTOP)));
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL).unwrap();
    let (mut stops, mut signal) = (0, None);
    let ended = loop {
        if stops == at {
            kill(pid, Signal::SIGKILL).unwrap();
        } else {
            ptrace::syscall(pid, signal.take()).unwrap();
        }
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) => stops += 1,
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(_, 0) => break true,
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => break false,
            other => panic!("{other:?}"),
        }
    };
    // Reaped above already.
    let _ = child.wait();
    (stops, ended)
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn killed_at_any_system_call_the_running_slot_and_the_pointer_are_whole() {
    for next in ["a", "b"] {
        let stops = killed_at(system(next).path(), usize::MAX).0;
        let (mut old, mut new) = (0, 0);
        for at in 0..stops {
            let system = system(next);
            let (_, ended) = killed_at(system.path(), at);
            let context = format!("killed at {at} of {stops}, {next} was to boot next");
            assert!(read(system.path(), "a") == vec![b'a'; LENGTH], "{context}: the running slot changed");
            let slot = read(system.path(), "b");
            match read(system.path(), "pointer").as_slice() {
                b"a\n" => old += 1,
                b"b\n" if slot == vec![b'n'; LENGTH] => new += 1,
                // Not begun: what was to boot next still is.
                b"b\n" if next == "b" && slot == vec![b'b'; LENGTH] => {}
                pointer => panic!("{context}: {pointer:?} boots next, and slot b is a mixture"),
            }
            assert!(!ended || slot == vec![b'n'; LENGTH], "{context}: it said that it was done");
            // Whoever comes after the cut ends it.
            assert!(killed_at(system.path(), usize::MAX).1, "{context}");
            assert!(
                read(system.path(), "pointer") == b"b\n" && read(system.path(), "b") == vec![b'n'; LENGTH],
                "{context}"
            );
        }
        assert!(old > 0 && new > 0, "{next}: the cuts fell before the switch {old} times and after it {new} times");
    }
}

/// A power cut loses what was not flushed, and kill -9 does not: so the order of the flushes is looked at itself.
#[test]
fn the_slot_is_on_disk_before_the_pointer_names_it() {
    let system = system("b");
    let output = Command::new("strace")
        .args(["-y", "-e", "trace=openat,write,fsync,rename,renameat,renameat2"])
        .arg(WRITER)
        .arg(system.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let named = |name: &str| system.path().join(name).display().to_string();
    let folder = format!("<{}>)", system.path().display());
    let steps: Vec<&str> = text
        .lines()
        .filter_map(|line| match line.split('(').next()? {
            "write" if line.contains(&format!("<{}>", named("b"))) => Some("write slot"),
            "fsync" if line.contains(&format!("<{}>", named("b"))) => Some("flush slot"),
            "fsync" if line.contains(&format!("<{}>", named("pointer.new"))) => Some("flush pointer"),
            "rename" | "renameat" | "renameat2" if line.contains(&named("pointer")) => Some("switch"),
            "fsync" if line.contains(&folder) => Some("flush folder"),
            _ => None,
        })
        .collect();
    let mut steps = steps;
    steps.dedup();
    let switch = ["flush pointer", "switch", "flush folder"];
    assert_eq!(steps, [&switch[..], &["write slot", "flush slot"], &switch].concat(), "{text}");
}
