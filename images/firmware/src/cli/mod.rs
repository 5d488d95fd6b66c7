//! The command line. One file a verb; data on standard output, talk on standard error.

mod check;
mod run;
mod status;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, DEFAULT_PATH};
use crate::exit::{self, Failure};
use crate::telemetry;

/// The appliance's firmware service: takes firmware from the agent's generations and has it written into the slot that
/// does not run.
#[derive(Debug, Parser)]
#[command(name = "casemate-firmware", version, max_term_width = 110, after_help = EXITS, after_long_help = EXITS)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Print data as JSON, errors too.
    #[arg(long, global = true)]
    json: bool,
    /// Say more on standard error; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

const EXITS: &str = "\
Exit codes: 0 done; 2 the command line or the configuration is wrong; 3 the environment failed. Every error names a \
code; see docs/codes.md.";

#[derive(Clone, Copy, Debug, Subcommand)]
enum Verb {
    /// Follow the agent, install what it assigns, report.
    Run,
    /// The slots as they are, and what this service wrote into them.
    Status,
    /// Check the configuration file.
    Check,
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::answer(&error),
    };
    let level = match (cli.verbose, cli.verb) {
        (0, Verb::Run) | (1, _) => tracing::Level::INFO,
        (0, _) => tracing::Level::ERROR,
        _ => tracing::Level::TRACE,
    };
    telemetry::start(level);
    exit::report(&cli.act(), cli.json)
}

impl Cli {
    fn act(&self) -> Result<(), Failure> {
        let config = Config::load(&self.config)?;
        match self.verb {
            Verb::Run => run::run(&config),
            Verb::Status => status::status(&config, self.json),
            Verb::Check => check::check(&config),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
