//! The intake child on its own, for tests whose binary has no such entry; and a probe of its cage.
#![allow(clippy::disallowed_methods, clippy::expect_used, reason = "tries what nothing else may try")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(casemate_agent::intake::CHILD_ARGUMENT) => casemate_agent::intake::child::main(),
        Some("probe") => probe(&arguments.next().unwrap_or_default(), arguments.next().as_deref()),
        _ => ExitCode::FAILURE,
    }
}

/// With the call the filter allows, so that it is the fence that says no.
fn rename(from: &str, to: &str) -> bool {
    nix::fcntl::renameat(nix::fcntl::AT_FDCWD, from, nix::fcntl::AT_FDCWD, to).is_ok()
}

/// As [`rename`].
fn remove(name: &str) -> bool {
    nix::unistd::unlinkat(nix::fcntl::AT_FDCWD, name, nix::unistd::UnlinkatFlags::NoRemoveDir).is_ok()
}

/// Tries `what`; succeeds if it could be done. `confined` closes the cage first.
fn probe(what: &str, confined: Option<&str>) -> ExitCode {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (ready, started) = std::sync::mpsc::channel::<()>();
    let attempt = what.to_owned();
    // As the child does it: the fence first, for this thread and those it starts.
    if confined.is_some() {
        let folder = std::fs::File::open(".").expect("a working folder");
        casemate_agent::intake::fence(folder).expect("the fence closes");
    }
    // Started before the cage closes, like the hashing thread: the cage must hold it too.
    let thread = std::thread::spawn(move || {
        let _ = ready.send(());
        let _ = wait.recv();
        match attempt.as_str() {
            "tcp" => std::net::TcpListener::bind(("127.0.0.1", 0)).is_ok(),
            "udp" => std::net::UdpSocket::bind(("127.0.0.1", 0)).is_ok(),
            "unix" => std::os::unix::net::UnixDatagram::unbound().is_ok(),
            "execute" => std::process::Command::new("/bin/true").status().is_ok(),
            "thread" => std::thread::Builder::new().spawn(|| {}).is_ok(),
            "read-beside" => std::fs::read("../secret").is_ok(),
            "write-beside" => std::fs::write("../mine", b"x").is_ok(),
            "overwrite-beside" => std::fs::OpenOptions::new().write(true).open("../secret").is_ok(),
            "rename-beside" => rename("../secret", "secret"),
            "remove-beside" => remove("../secret"),
            "read-memory" => std::fs::File::open("/proc/self/mem").is_ok(),
            "write-inside" => {
                std::fs::write("here", b"x").is_ok()
                    && rename("here", "there")
                    && std::fs::read("there").is_ok()
                    && remove("there")
            }
            "nothing" => true,
            _ => false,
        }
    });
    let _ = started.recv();
    if confined.is_some() {
        casemate_agent::intake::confine().expect("the cage closes");
    }
    let _ = release.send(());
    if thread.join().unwrap_or(false) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
