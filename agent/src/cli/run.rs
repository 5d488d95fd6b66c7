//! `run`.

use std::path::PathBuf;

use casemate_protocol::code::{Code, Explain};
use clap::Args;
use thiserror::Error;

use super::confinement;
use super::connection::{Setup, block_on};
use crate::boundary::confined::Confined;
use crate::boundary::force::Force;
use crate::boundary::foreign_file::ForeignFileError;
use crate::boundary::handover::Handover;
use crate::boundary::process::confine;
use crate::boundary::status::EnforcerStatus;
use crate::config::{Config, Enforcement};
use crate::exit::Failure;
use crate::runtime::Ended;
use crate::{runtime, telemetry};

#[derive(Debug, Args)]
pub(super) struct Run {}

/// The kernel was to enforce the boundary, and nothing says that it does.
#[derive(Debug, Error)]
#[error("nothing in {folder} says that the kernel enforces the boundary, and agent.toml says enforcement = \"host\"")]
struct NotEnforced {
    folder: PathBuf,
    #[source]
    source: ForeignFileError,
}

impl Explain for NotEnforced {
    fn code(&self) -> Code {
        Code::BoundaryNotEnforced
    }
}

impl Run {
    /// Runs with the level of the configuration, or the one asked for on the command line.
    ///
    /// The process is confined before anything else exists in it: the kernel's rules bind only threads that start
    /// after them.
    pub(super) fn run(self, setup: &Setup, asked: Option<tracing::Level>) -> Result<Ended, Failure> {
        let config = setup.load()?;
        is_enforced(&config)?;
        let force = Force::read(Handover::of(&config.state).folder());
        let layers = confine(&confinement::of(&config, &force))?;
        telemetry::start(asked.unwrap_or(config.log));
        let config = Config { confined: Confined { force: Some(force), layers: Some(layers) }, ..config };
        let socket = config.admin_socket().to_owned();
        block_on(runtime::daemon(config, move || tracing::info!(socket = %socket.display(), "ready")))
    }
}

/// Whether the kernel enforces a boundary, where it is to. Which one it is is health's business.
fn is_enforced(config: &Config) -> Result<(), NotEnforced> {
    if config.enforcement == Enforcement::ProcessOnly {
        return Ok(());
    }
    let folder = &config.boundary.run;
    EnforcerStatus::read(folder).map(drop).map_err(|source| NotEnforced { folder: folder.clone(), source })
}
