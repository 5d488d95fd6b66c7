//! `casemate`: keys, enrolment, plan, sign, check, pack, inspect, verify.

mod authority;
mod broker;
mod cli;
mod commands;
mod exit;
mod file;
mod observation;
mod output;
mod pack;
mod plan;
mod repository;
mod signer;
mod signing;
mod site;
mod usage;

use std::process::ExitCode;

use casemate_protocol::code::Code;
use clap::Parser;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error),
    };
    let output = output::Output::new(cli.json);
    let exit = cli.run().unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit()
    });
    exit.into()
}

/// Help and version are answers; everything else clap says is an error like any other.
fn unparsed(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A closed pipe is no reason to fail.
        let _ = error.print();
        return if error.use_stderr() { exit::Exit::from(Code::UsageInvalid).into() } else { ExitCode::SUCCESS };
    }
    let failure = exit::Failure::from(usage::UsageError::new(error));
    output::Output::new(std::env::args_os().any(|argument| argument == "--json")).failure(&failure);
    failure.exit().into()
}
