//! `casemate sign request`.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file::{self, Audience};
use crate::signing::Publication;

/// Where the request in hand is kept beside the plan.
pub(super) const KEPT: &str = "request.json";

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write the request
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let publication = Publication::open(context.layout()?, context.now)?;
    let request = publication.request()?;
    let bytes = request.to_bytes()?;
    file::create(&args.output, &bytes, Audience::Everybody)?;
    file::replace(&publication.layout().plan().join(KEPT), &bytes)?;
    let signers: Vec<_> = request
        .signers
        .iter()
        .map(|(role, keys)| format!("{role}: {} of {} keys must sign", keys.threshold, keys.keyids.len()))
        .collect();
    context.output.say(format!("Wrote {}; carry it to the signers: `casemate sign add`.", args.output.display()));
    let value = json!({ "request": args.output, "digest": request.digest()?, "signers": request.signers });
    context.output.data(&value, signers.join("\n"));
    Ok(Exit::DONE)
}
