//! What the executable does first: the hidden commands, then the command line.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use crate::clock::WallClock;
use crate::{cli, intake, runtime, store};

/// The program, with the time from what `clock` makes. The hidden commands come before any other argument is parsed and
/// before a clock is made: a child starts often and lives shortly.
#[must_use]
pub fn main(clock: impl FnOnce() -> WallClock) -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(OsStr::to_str) {
        Some(intake::CHILD_ARGUMENT) => intake::child::main(),
        Some(runtime::PROBE_ARGUMENT) => probe(arguments.next().as_deref()),
        _ => cli::main(clock()),
    }
}

/// Reads the store's second copy where a rotten one may take the process down with it.
fn probe(folder: Option<&OsStr>) -> ExitCode {
    let read = folder.map(|folder| store::probe(Path::new(folder), &mut std::io::stdout().lock()));
    if matches!(read, Some(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
