//! `casemate completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For which shell
    shell: Shell,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    clap_complete::generate(args.shell, &mut Cli::command(), "casemate", &mut std::io::stdout());
    Ok(Exit::DONE)
}
