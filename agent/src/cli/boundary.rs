//! `boundary`.

mod enforce;
mod pin;
mod show;
mod standing;
mod watch;

use casemate_protocol::code::Code;
use clap::Subcommand;

pub(super) use self::standing::standing;
use super::connection::Setup;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Boundary {
    /// What may be exchanged with whom, who sees to it, what changed last, and what was stopped.
    Show(show::Show),
    /// Load the boundary into the kernel, for the whole machine; root's one-shot.
    Enforce(enforce::Enforce),
    /// Tell the enforcer whose boundary this machine has; root's, once.
    Pin(pin::PinArguments),
    /// Count what the kernel's rules drop, by sender and destination, for the agent to tell.
    Watch(watch::Watch),
}

impl Boundary {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        match self {
            Self::Show(verb) => verb.run(setup),
            Self::Enforce(verb) => verb.run(setup),
            Self::Pin(verb) => verb.run(),
            Self::Watch(verb) => verb.run(setup),
        }
    }
}
