//! `boundary watch`.

use casemate_protocol::code::Code;
use clap::Args;

use super::super::connection::Setup;
use crate::boundary::watch::{GROUP, watch};
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(in crate::cli) struct Watch {}

impl Watch {
    pub(in crate::cli) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let config = setup.load()?;
        match watch(GROUP, &config.boundary.watch, &config.cgroups, &config.clock)? {}
    }
}
