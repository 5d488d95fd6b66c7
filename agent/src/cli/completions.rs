//! `completions`.

use casemate_protocol::code::Code;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::exit::Failure;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Code, Failure> {
        clap_complete::generate(self.shell, &mut super::Cli::command(), "casemate-agent", &mut std::io::stdout());
        Ok(Code::Applied)
    }
}
