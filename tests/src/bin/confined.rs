//! Confines itself by the layers its first argument names, `+` between them (`all`, `none`, `privileges`, `fence`,
//! `filter`), then becomes the program of the other arguments: `confined fence+filter 8443,9001 PROGRAM ARGUMENT…`.
//! The second argument is the TCP ports that may be connected to. The program `show` says what cannot be inherited.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "only ever part of a test")]

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use casemate_agent::boundary::process::{Confinement, Ports, confine, fence, filter, give_up_privileges};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layers, ports, program, rest @ ..] = &arguments[..] else {
        panic!("usage: confined LAYERS PORTS PROGRAM …")
    };
    let ports: BTreeSet<u16> = ports.split(',').filter_map(|port| port.parse().ok()).collect();
    // What an interpreter needs to start: `/usr` for `/usr/bin/python3`.
    let home = Path::new(program).canonicalize().ok().and_then(|path| path.ancestors().nth(2).map(PathBuf::from));
    let confinement = Confinement {
        read: ["/usr".into(), "/lib".into()].into_iter().chain(home).collect(),
        execute: vec![program.into()],
        ..Confinement::bare(Ports::Only(ports))
    };
    for layer in layers.split('+') {
        match layer {
            "all" => assert!(confine(&confinement).unwrap().landlock),
            "privileges" => give_up_privileges().unwrap(),
            "fence" => drop(fence::enter(&confinement).unwrap()),
            "filter" => filter::enter().unwrap(),
            other => assert_eq!(other, "none"),
        }
    }
    if program == "show" {
        let (core, _) = getrlimit(Resource::RLIMIT_CORE).unwrap();
        println!("dumpable {}, core {core}", prctl::get_dumpable().unwrap());
        return;
    }
    panic!("{program}: {}", Command::new(program).args(rest).exec());
}
