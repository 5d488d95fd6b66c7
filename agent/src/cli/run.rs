//! `run`.

use casemate_protocol::code::Code;
use clap::Args;

use super::confinement;
use super::connection::{Setup, block_on};
use crate::boundary::process::{Ports, confine};
use crate::exit::Failure;
use crate::{runtime, telemetry};

#[derive(Debug, Args)]
pub(super) struct Run {}

impl Run {
    /// Runs with the level of the configuration, or the one asked for on the command line.
    pub(super) fn run(self, setup: &Setup, asked: Option<tracing::Level>) -> Result<Code, Failure> {
        let config = setup.load()?;
        confine(&confinement::of(&config, Ports::Any))?;
        telemetry::start(asked.unwrap_or(config.log));
        let socket = config.admin_socket().to_owned();
        block_on(runtime::daemon(config, move || tracing::info!(socket = %socket.display(), "ready")))?;
        Ok(Code::Applied)
    }
}
