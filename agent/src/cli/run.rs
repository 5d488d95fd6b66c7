//! `run`.

use std::path::Path;

use casemate_protocol::code::Code;
use clap::Args;

use super::connection::block_on;
use crate::config::Config;
use crate::exit::Failure;
use crate::runtime;

#[derive(Debug, Args)]
pub(super) struct Run {}

impl Run {
    pub(super) fn run(self, config: &Path) -> Result<Code, Failure> {
        let config = Config::load(config)?;
        let socket = config.socket.clone();
        block_on(runtime::daemon(config, move || tracing::info!(socket = %socket.display(), "ready")))?;
        Ok(Code::Applied)
    }
}
