//! `casemate boundary propose`.

use std::path::PathBuf;

use casemate_protocol::device::id::Name;
use serde_json::json;

use super::{Opened, expect};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file;
use crate::observation::{Proposal, row};
use crate::output::count;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `casemate-agent boundary show --json` printed on the appliance, or its drops.json
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Leave out what this boundary of the site allows already
    name: Option<Name>,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let opened = Opened::read(context)?;
    let named = &opened.boundaries.named;
    expect(args.name.as_ref(), &[named])?;
    let shown = args.from.display().to_string();
    let rows = row::parse(&shown, &file::read(&args.from, row::MAX_LENGTH)?)?;
    let envelope = opened.boundaries.envelope.as_ref().map(|file| &file.envelope);
    let known = args.name.as_ref().and_then(|name| named.get(name)).map(|boundary| &boundary.allow);
    let proposal = Proposal::of(&rows, envelope, known);
    let text = proposal.to_string();
    if envelope.is_none() {
        context.output.say("warning: the root binds no envelope, so nothing can be allowed");
    }
    context.output.say(format!(
        "{} of {}: {} proposed, {} beyond the envelope, {} allowed already, {} impossible. Nothing was written.",
        shown,
        count(rows.len(), "row"),
        count(proposal.flows.len(), "flow"),
        proposal.outside.len(),
        proposal.known.len(),
        proposal.impossible.len(),
    ));
    context.output.data(&json!({ "proposal": proposal, "toml": text }), &text);
    Ok(Exit::DONE)
}
