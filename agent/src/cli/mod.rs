//! The command line. One file a verb; data on standard output, talk on standard error.

mod boundary;
mod completions;
mod config;
mod confinement;
mod connection;
mod consumer;
mod diff;
mod enrol;
mod health;
mod import;
mod man;
mod receipts;
mod run;
mod status;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use casemate_protocol::code::Code;
use clap::{Parser, Subcommand};

use self::connection::Setup;
use crate::clock::WallClock;
use crate::config::file::DEFAULT_PATH;
use crate::exit::{self, Failure};
use crate::runtime::Ended;
use crate::telemetry;

/// The agent of an offline-cloud appliance: verified bundles in, signed receipts out.
///
/// Data goes to stdout, talk to stderr.
#[derive(Debug, Parser)]
#[command(name = "casemate-agent", version, max_term_width = 110, after_help = EXITS, after_long_help = EXITS)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Print data as JSON, errors too.
    #[arg(long, global = true, help_heading = "Everywhere")]
    json: bool,
    /// Say more on standard error, whatever the configuration says; twice for everything.
    #[arg(short, long, global = true, help_heading = "Everywhere", action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

const EXITS: &str = "\
Exit codes: 0 done or nothing to do; 1 refused, nothing changed; 2 the command line or the configuration is wrong; 3 the \
environment failed; 4 stored state is damaged; 75 `run` is to be started anew, by its unit. Every error names a code; see docs/codes.md.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Join a site: request out, grant in, the same words on both sides.
    #[command(subcommand)]
    Enrol(enrol::Enrol),
    /// Import a bundle, a folder of bundles, or a stick.
    Import(import::Import),
    /// Where the appliance stands: enrolment, owners, generations, what is waited for, what failed.
    Status(status::Status),
    /// What the generations under way change, file by file, or the last ones did.
    Diff(diff::Diff),
    /// How the appliance is.
    Health(health::Health),
    /// What may be exchanged with whom, and who sees to it.
    #[command(subcommand)]
    Boundary(boundary::Boundary),
    /// What the appliance did, as signed statements.
    #[command(subcommand)]
    Receipts(receipts::Receipts),
    /// Run as the daemon: own the state, watch the stick, answer on the socket.
    Run(run::Run),
    /// Run as the consumer helper: set links, reload or restart the units the image allows, and report.
    Consumer(consumer::Consumer),
    /// The configuration file.
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Write the manual pages into a folder.
    Man(man::Man),
    /// Print a shell's completions.
    Completions(completions::Completions),
}

/// How a command ended well.
enum Outcome {
    /// With this.
    Done(Code),
    /// It is to be started anew.
    Restart,
}

/// The program, with the time from `clock`.
#[must_use]
pub fn main(clock: WallClock) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error),
    };
    // What runs as a service says more by itself; of the daemon its configuration says how much.
    match cli.verb {
        Verb::Run(_) => {}
        Verb::Consumer(_) | Verb::Boundary(boundary::Boundary::Watch(_)) => {
            telemetry::start(level(cli.verbose).unwrap_or(tracing::Level::INFO));
        }
        // What is refused is told with its cause.
        Verb::Boundary(_) => telemetry::start(level(cli.verbose).unwrap_or(tracing::Level::WARN)),
        _ => telemetry::start(level(cli.verbose).unwrap_or(tracing::Level::ERROR)),
    }
    let json = cli.json;
    match cli.run(clock) {
        Ok(Outcome::Restart) => ExitCode::from(exit::RESTART),
        Ok(Outcome::Done(code)) => exit::report(&Ok(code), json),
        Err(failure) => exit::report(&Err(failure), json),
    }
}

/// What `-v` asks for.
fn level(verbose: u8) -> Option<tracing::Level> {
    match verbose {
        0 => None,
        1 => Some(tracing::Level::INFO),
        _ => Some(tracing::Level::TRACE),
    }
}

/// Help and version are answers; everything else clap says is an error like any other.
fn unparsed(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _shown = error.print();
        return if error.use_stderr() { exit::status(Code::UsageInvalid).into() } else { ExitCode::SUCCESS };
    }
    let json = std::env::args_os().any(|argument| argument == "--json");
    exit::report(&Err(usage::UsageError::new(error).into()), json)
}

impl Cli {
    fn run(self, clock: WallClock) -> Result<Outcome, Failure> {
        let setup = Setup { file: self.config, clock, json: self.json };
        let done = match self.verb {
            Verb::Enrol(verb) => verb.run(&setup),
            Verb::Import(verb) => verb.run(&setup),
            Verb::Status(verb) => verb.run(&setup),
            Verb::Diff(verb) => verb.run(&setup),
            Verb::Health(verb) => verb.run(&setup),
            Verb::Boundary(verb) => verb.run(&setup),
            Verb::Receipts(verb) => verb.run(&setup),
            Verb::Run(verb) => {
                return verb.run(&setup, level(self.verbose)).map(|ended| match ended {
                    Ended::Stopped => Outcome::Done(Code::Applied),
                    Ended::Restart => Outcome::Restart,
                });
            }
            Verb::Consumer(verb) => verb.run(&setup),
            Verb::Config(verb) => verb.run(&setup),
            Verb::Man(verb) => verb.run(),
            Verb::Completions(verb) => verb.run(),
        };
        done.map(Outcome::Done)
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
