//! `casemate root`.

mod fingerprint;

use crate::cli::Context;
use crate::exit::{Exit, Failure};

/// What can be asked about the root.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Print the SHA-256 of a root: for paper, to be compared out of band
    Fingerprint(fingerprint::Args),
}

/// Runs a verb.
pub(crate) fn run(context: &Context, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Fingerprint(args) => fingerprint::run(context, args),
    }
}
