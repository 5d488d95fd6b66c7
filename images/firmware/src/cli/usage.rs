//! A wrong command line.

use std::process::ExitCode;

use clap::error::ErrorKind;

/// Help and version are answers; everything else clap says is wrong usage.
pub(super) fn answer(error: &clap::Error) -> ExitCode {
    let _shown = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}
