//! `casemate man`.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::cli::{Cli, Context};
use crate::exit::{Exit, Failure};
use crate::file::{self, FileError};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write `casemate.1` and a page for every command
    dir: PathBuf,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    file::create_folder(&args.dir)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(FileError::write(&args.dir))?;
    context.output.say(format!("Wrote the man pages to {}.", args.dir.display()));
    Ok(Exit::DONE)
}
