//! The intake child on its own, for tests whose binary has no such entry; and a probe of its cage.
#![allow(clippy::disallowed_methods, clippy::expect_used, reason = "tries what nothing else may try")]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        // Its surroundings say what is wrong with it: it is started without arguments or environment of a test's own.
        Some(casemate_agent::intake::CHILD_ARGUMENT) => match std::fs::read_to_string("../fault") {
            Ok(fault) => misbehave(&fault).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
            Err(_) => casemate_agent::intake::child::main(),
        },
        Some("honest") => casemate_agent::intake::child::main(),
        Some("probe") => probe(&arguments.next().unwrap_or_default(), arguments.next().as_deref()),
        _ => ExitCode::FAILURE,
    }
}

fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
    [&[tag][..], &u32::try_from(payload.len()).expect("short").to_le_bytes(), payload].concat()
}

/// A child that was taken over, or is stuck.
fn misbehave(fault: &str) -> std::io::Result<()> {
    const DONE: &[u8] = br#"{"done":{"parts":0}}"#;
    let mut parent: std::fs::File = std::io::stdout().as_fd().try_clone_to_owned()?.into();
    let stay = || loop {
        std::thread::park();
    };
    match fault {
        "silent" => stay(),
        "stays" => {
            parent.write_all(&frame(20, DONE))?;
            stay()
        }
        // A byte now and then, and never a whole frame.
        "trickles" => {
            parent.write_all(&frame(17, &[0; 4000])[..100])?;
            let (_keep, never) = std::sync::mpsc::channel::<()>();
            loop {
                let _ = never.recv_timeout(std::time::Duration::from_millis(20));
                parent.write_all(b"x")?;
            }
        }
        "tells" => loop {
            parent.write_all(&frame(19, &[0; 16]).repeat(1000))?;
        },
        "asks" => loop {
            parent.write_all(&frame(18, &[7; 4096 * 32]))?;
            let mut answer = vec![0; 5 + 4096 * 8];
            while answer[0] != 5 {
                read_frame(&mut parent, &mut answer)?;
            }
            answer[0] = 0;
        },
        _ => embellish(parent),
    }
}

fn read_frame(from: &mut impl Read, frame: &mut Vec<u8>) -> std::io::Result<()> {
    frame.resize(5, 0);
    from.read_exact(frame)?;
    let length = u32::from_le_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize;
    frame.resize(5 + length, 0);
    from.read_exact(&mut frame[5..])
}

/// Says what an honest child says, and before its end that it has read something more.
fn embellish(mut parent: std::fs::File) -> std::io::Result<()> {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let mut honest = std::process::Command::new("/proc/self/exe")
        .arg("honest")
        .stdout(std::os::fd::OwnedFd::from(theirs))
        .spawn()?;
    let (mut down, mut order) = (ours.try_clone()?, parent.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut order, &mut down));
    let mut said = Vec::new();
    loop {
        read_frame(&mut ours, &mut said)?;
        if said[0] == 20 {
            let name = format!("objects/{}", casemate_protocol::digest::Digest::of(b"stray"));
            parent.write_all(&frame(16, name.as_bytes()))?;
            parent.write_all(&frame(17, b"stray"))?;
            parent.write_all(&said)?;
            let _ = honest.wait();
            return Ok(());
        }
        parent.write_all(&said)?;
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
