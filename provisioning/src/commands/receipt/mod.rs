//! `casemate receipt`.

mod verify;

use crate::cli::Context;
use crate::exit::{Exit, Failure};

/// What can be done with receipts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Check receipts against the enrolled keys and show what they say
    ///
    /// Exit code: 0 every receipt verifies and reports success; 1 every receipt verifies and one reports a refusal;
    /// 2 a receipt does not verify; 3 a file cannot be read, or a receipt reports a failing environment; 4 a receipt
    /// reports damage.
    Verify(verify::Args),
}

/// Runs a verb.
pub(crate) fn run(context: &Context, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Verify(args) => verify::run(context, args),
    }
}
