//! Network namespaces that a test makes for itself: each belongs to one thread and ends with it.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Runs `work` on a thread of its own in a network namespace of its own, in which there is nothing but a loopback
/// device that is down. `None`, and a word on standard error, without root, who alone may make one.
///
/// # Panics
/// As `work` does.
pub fn in_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: making a network namespace wants root");
        return None;
    }
    let isolated = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        work()
    };
    let ended = std::thread::scope(|scope| scope.spawn(isolated).join());
    Some(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Runs a program in this thread's namespace, and answers what it wrote.
///
/// # Panics
/// It cannot be started or fails.
#[must_use]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
