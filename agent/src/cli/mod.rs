//! The command line. One file a verb; data on standard output, talk on standard error.

mod completions;
mod config;
mod connection;
mod enrol;
mod health;
mod import;
mod man;
mod receipts;
mod run;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use casemate_protocol::code::Code;
use clap::{Parser, Subcommand};

use self::connection::Setup;
use crate::clock::WallClock;
use crate::config::file::DEFAULT_PATH;
use crate::exit::{self, Failure};
use crate::telemetry;

/// The agent of an offline-cloud appliance: verified bundles in, signed receipts out.
///
/// Exit codes: 0 done, 1 the input was refused and nothing changed, 2 wrong usage or configuration, 3 the environment
/// failed, 4 the state is damaged.
#[derive(Debug, Parser)]
#[command(name = "casemate-agent", version, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Say more on standard error; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Join a site: request out, grant in, the same words on both sides.
    #[command(subcommand)]
    Enrol(enrol::Enrol),
    /// Import a bundle, a folder of bundles, or a stick.
    Import(import::Import),
    /// Where the appliance stands: enrolment, owners, generations.
    Status(status::Status),
    /// How the appliance is.
    Health(health::Health),
    /// What the appliance did, as signed statements.
    #[command(subcommand)]
    Receipts(receipts::Receipts),
    /// Run as the daemon: own the state, watch the stick, answer on the socket.
    Run(run::Run),
    /// The configuration file.
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Write the manual pages into a folder.
    Man(man::Man),
    /// Print a shell's completions.
    Completions(completions::Completions),
}

/// The program, with the time from `clock`.
#[must_use]
pub fn main(clock: WallClock) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let code = if error.use_stderr() { exit::status(Code::UsageInvalid) } else { 0 };
            let _shown = error.print();
            return ExitCode::from(code);
        }
    };
    let daemon = matches!(cli.verb, Verb::Run(_));
    telemetry::start(match (cli.verbose, daemon) {
        (0, false) => tracing::Level::ERROR,
        (0, true) | (1, _) => tracing::Level::INFO,
        _ => tracing::Level::TRACE,
    });
    exit::report(&cli.run(clock))
}

impl Cli {
    fn run(self, clock: WallClock) -> Result<Code, Failure> {
        let setup = Setup { file: self.config, clock };
        match self.verb {
            Verb::Enrol(verb) => verb.run(&setup),
            Verb::Import(verb) => verb.run(&setup),
            Verb::Status(verb) => verb.run(&setup),
            Verb::Health(verb) => verb.run(&setup),
            Verb::Receipts(verb) => verb.run(&setup),
            Verb::Run(verb) => verb.run(&setup),
            Verb::Config(verb) => verb.run(&setup),
            Verb::Man(verb) => verb.run(),
            Verb::Completions(verb) => verb.run(),
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
