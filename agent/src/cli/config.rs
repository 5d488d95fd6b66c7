//! `config check` and `config show`.

use casemate_protocol::code::Code;
use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::{Setup, print_json};
use crate::config::{Config, Setting};
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Check the configuration file: keys, forms, and that the groups it names exist.
    Check(Check),
    /// Print every value and where it comes from: a line of the file, or the default.
    ///
    /// The file is read when the agent starts: restart it after a change. Environment variables are not read.
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Check {}

#[derive(Debug, Args)]
pub(super) struct Show {}

impl ConfigVerb {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let (config, settings) = Config::explain(&setup.file, setup.clock.clone())?;
        match self {
            Self::Check(Check {}) => check(setup, &config),
            Self::Show(Show {}) => show(setup, &settings),
        }
    }
}

fn check(setup: &Setup, config: &Config) -> Result<Code, Failure> {
    for socket in &config.local {
        socket.gid()?;
    }
    if setup.json {
        print_json(&json!({ "file": setup.file, "valid": true }))?;
    } else {
        println!("{} is in order. A running agent takes changes when it is restarted.", setup.file.display());
    }
    Ok(Code::Applied)
}

fn show(setup: &Setup, settings: &[Setting]) -> Result<Code, Failure> {
    if setup.json {
        let one = |setting: &Setting| {
            (setting.key.to_owned(), json!({ "value": setting.value, "from": setting.origin.to_string() }))
        };
        print_json(&settings.iter().map(one).collect::<serde_json::Map<_, _>>())?;
        return Ok(Code::Applied);
    }
    let value = |setting: &Setting| setting.value.clone().unwrap_or_else(|| "-".into());
    let width = settings.iter().map(|setting| value(setting).chars().count()).max().unwrap_or(0);
    for setting in settings {
        println!("{:<22} {:<width$} # {}", setting.key, value(setting), setting.origin);
    }
    Ok(Code::Applied)
}
