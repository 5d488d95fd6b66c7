//! A process that writes a slot and may be killed at it: the firmware scenarios run it.
//!
//! `FOLDER` holds the slots `a` and `b`, `pointer`, `cmdline` and the artifact `new`; `traced` in front lets the parent
//! trace it first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "only ever part of a test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use casemate_firmware::slot::{Files, Progress, SlotName};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["traced", folder] => {
            nix::sys::ptrace::traceme().unwrap();
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).unwrap();
            write(Path::new(folder));
        }
        [folder] => write(Path::new(folder)),
        _ => panic!("[traced] FOLDER"),
    }
}

fn write(folder: &Path) {
    let slots = ["a", "b"].map(|name| (SlotName::new(name), folder.join(name)));
    let files = Files::new(slots.into(), folder.join("pointer"), folder.join("cmdline"), Duration::from_secs(60));
    let unheard: Progress = Arc::new(|_| {});
    files.write(&folder.join("new"), &unheard).unwrap();
}
