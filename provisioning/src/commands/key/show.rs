//! `casemate key show`.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::signer::FileKey;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The private key's file
    file: PathBuf,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let key = FileKey::read(&args.file)?;
    context.output.data(&json!({ "keyid": key.keyid(), "public": key.document() }), &key.keyid().0);
    Ok(Exit::DONE)
}
