//! A process that works on a state folder and may be killed at it: the power and second-copy scenarios run it.
//!
//! `probe FOLDER` is the probe of a second copy. `import FOLDER VERSION` imports a version and says `done`; `traced` in
//! front lets the parent trace it first; `try` instead of `import` has it stand a trial. `fill FOLDER` imports until the
//! disk is full and says what happened. `many FOLDER COUNT` takes over so many files and builds a generation of so many
//! folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "only ever part of a test")]

use std::io::Write;
use std::path::Path;

use casemate_agent::apply::{TreeFile, Trees};
use casemate_agent::store::{Recovery, StoreError, probe};
use casemate_protocol::code::Explain;
use casemate_protocol::digest::Digest;
use casemate_tests::state_folder::{self, StateFolder};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["probe", folder] => probe(Path::new(folder), &mut std::io::stdout()).unwrap(),
        ["import", folder, version] => import(folder, version, StateFolder::import),
        ["traced", what, folder, version] => {
            nix::sys::ptrace::traceme().unwrap();
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).unwrap();
            import(folder, version, if what == "try" { StateFolder::try_out } else { StateFolder::import });
        }
        ["fill", folder] => fill(folder),
        ["many", folder, count] => many(Path::new(folder), count.parse().unwrap()),
        _ => panic!("probe | [traced] import | fill | many"),
    }
}

fn options() -> casemate_agent::store::Options {
    state_folder::probe(std::env::current_exe().unwrap().to_str().unwrap())
}

fn import(folder: &str, version: &str, carry_out: fn(&mut StateFolder, u64) -> Result<(), StoreError>) {
    let (mut appliance, recovery) = StateFolder::open(Path::new(folder), &options());
    assert!(!matches!(recovery, Recovery::Quarantine { .. }), "{recovery:?}");
    carry_out(&mut appliance, version.parse().unwrap()).unwrap();
    println!("done");
    std::io::stdout().flush().unwrap();
    appliance.close().unwrap();
}

fn fill(folder: &str) {
    let (mut appliance, _) = StateFolder::open(Path::new(folder), &options());
    let mut version = 1;
    let error = loop {
        match appliance.import(version) {
            Ok(()) => version += 1,
            Err(error) => break error,
        }
    };
    println!("{} after {} with floor {}", error.code(), version - 1, floor(&appliance));
    drop(appliance);
    // On the disk that is still full.
    let (appliance, recovery) = StateFolder::open(Path::new(folder), &options());
    println!("{recovery:?}");
    println!("floor {}", floor(&appliance));
}

fn many(folder: &Path, count: usize) {
    let (appliance, _) = StateFolder::open(folder, &options());
    let store = appliance.store();
    let stage = |number: usize| {
        let (object, path) = (Digest::of(&number.to_le_bytes()), store.staging().join(number.to_string()));
        std::fs::write(&path, number.to_le_bytes()).unwrap();
        (object, path)
    };
    let staged: Vec<_> = (0..count).map(stage).collect();
    store.objects().take_over(&staged, &[]).unwrap();
    let file = |(number, (object, _)): (usize, &(Digest, _))| TreeFile {
        path: format!("{number}/file").parse().unwrap(),
        object: store.objects().path(object),
    };
    let files: Vec<_> = staged.iter().enumerate().map(file).collect();
    Trees::new(folder).stage(&"group.clinics".parse().unwrap(), 1, &files).unwrap();
    println!("done");
}

fn floor(appliance: &StateFolder) -> u64 {
    appliance.store().state().floors.floors.timestamp.as_ref().map_or(0, |floor| floor.version.get())
}
