//! `casemate key`.

mod new;
mod show;

use crate::cli::Context;
use crate::exit::{Exit, Failure};

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make an Ed25519 signing key: FILE (private, mode 0600) and FILE.pub
    New(new::Args),
    /// Show a private key's id and public half
    Show(show::Args),
}

/// Runs a verb.
pub(crate) fn run(context: &Context, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::New(args) => new::run(context, args),
        Verb::Show(args) => show::run(context, args),
    }
}
