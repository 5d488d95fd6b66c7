//! `casemate key new`.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::signer::FileKey;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write the private key; the public half goes to FILE.pub
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let key = FileKey::make(&args.output)?;
    context.output.say(format!(
        "Made {}; give {}.pub to whoever makes the root.",
        args.output.display(),
        args.output.display()
    ));
    context.output.data(&json!({ "keyid": key.keyid(), "public": key.document() }), &key.keyid().0);
    Ok(Exit::DONE)
}
