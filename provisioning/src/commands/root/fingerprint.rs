//! `casemate root fingerprint`.

use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::Version;
use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::repository::{Place, State};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of every root version, not of the newest alone
    #[arg(long)]
    all: bool,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let state = State::read(Place::new(context.layout()?.repository()))?;
    let first = if args.all { Version::FIRST } else { state.root.signed.version };
    let roots: Vec<_> = state.roots(first)?.into_iter().map(|(version, raw)| (version, Digest::of(&raw))).collect();
    let values: Vec<_> =
        roots.iter().map(|(version, digest)| json!({ "version": version, "sha256": digest })).collect();
    let text: Vec<_> = roots.iter().map(|(version, digest)| format!("{version}  {digest}")).collect();
    let profile = state.profile()?;
    let value = json!({ "roots": values, "jurisdiction": profile.jurisdiction, "demo": profile.demo });
    context.output.data(&value, text.join("\n"));
    Ok(Exit::DONE)
}
