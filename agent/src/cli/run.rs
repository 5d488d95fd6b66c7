//! `run`.

use casemate_protocol::code::Code;
use clap::Args;

use super::connection::{Setup, block_on};
use crate::exit::Failure;
use crate::runtime;

#[derive(Debug, Args)]
pub(super) struct Run {}

impl Run {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let config = setup.load()?;
        let socket = config.admin_socket().to_owned();
        block_on(runtime::daemon(config, move || tracing::info!(socket = %socket.display(), "ready")))?;
        Ok(Code::Applied)
    }
}
