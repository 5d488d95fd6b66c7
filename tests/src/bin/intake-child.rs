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

/// Tries `what`; succeeds if it could be done. `confined` closes the cage first.
fn probe(what: &str, confined: Option<&str>) -> ExitCode {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (ready, started) = std::sync::mpsc::channel::<()>();
    let attempt = what.to_owned();
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
