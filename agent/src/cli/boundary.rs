//! `boundary`.

mod show;

use casemate_protocol::code::Code;
use clap::Subcommand;

use super::connection::Setup;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Boundary {
    /// What may be exchanged with whom, who sees to it, what changed last, and what was stopped.
    Show(show::Show),
}

impl Boundary {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        match self {
            Self::Show(verb) => verb.run(setup),
        }
    }
}
