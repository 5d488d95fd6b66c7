//! `config check`.

use casemate_protocol::code::Code;
use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::{Setup, print_json};
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Check the configuration file and print what it means.
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Check {}

impl ConfigVerb {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let Self::Check(Check {}) = self;
        let meant = setup.load()?;
        if setup.json {
            print_json(&json!({
                "state": meant.state, "socket": meant.socket, "stick": meant.stick, "reserve": meant.reserve,
            }))?;
            return Ok(Code::Applied);
        }
        println!("state    {}", meant.state.display());
        println!("socket   {}", meant.socket.display());
        match &meant.stick {
            Some(stick) => println!("stick    {}", stick.display()),
            None => println!("stick    none is watched"),
        }
        println!("reserve  {} bytes are never used by a bundle", meant.reserve);
        Ok(Code::Applied)
    }
}
