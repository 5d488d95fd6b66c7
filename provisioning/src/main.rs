//! `casemate`: keys, enrolment, plan, sign, check, pack, inspect, verify.

mod cli;
mod commands;
mod exit;
mod file;
mod output;
mod pack;
mod plan;
mod repository;
mod signer;
mod signing;
mod site;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = output::Output::new(cli.json);
    let exit = cli.run().unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit()
    });
    exit.into()
}
