//! `man`.

use std::path::PathBuf;

use casemate_protocol::code::Code;
use clap::{Args, CommandFactory};

use super::connection::CommandError;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Where to write `casemate-agent.1` and a page for every command.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(self) -> Result<Code, Failure> {
        let fail = |source| CommandError::Write { path: self.folder.clone(), source };
        std::fs::create_dir_all(&self.folder).map_err(fail)?;
        clap_mangen::generate_to(super::Cli::command(), &self.folder).map_err(fail)?;
        eprintln!("Wrote the man pages to {}.", self.folder.display());
        Ok(Code::Applied)
    }
}
