//! `casemate boundary diff`.

use casemate_protocol::device::id::Name;
use serde_json::json;

use super::{Opened, expect};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::plan::boundary::{Step, differences, published};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this boundary
    name: Option<Name>,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let opened = Opened::read(context)?;
    let signed = published(&opened.state)?;
    expect(args.name.as_ref(), &[&signed, &opened.boundaries.named])?;
    let wanted = |step: &Step| args.name.is_none() || args.name == step.before || args.name == step.after;
    let mut steps: Vec<_> = differences(&signed, &opened.boundaries.named).into_iter().filter(wanted).collect();
    for step in &mut steps {
        step.appliances = step.after.iter().flat_map(|name| opened.appliances(name)).collect();
    }
    let text: String = steps.iter().flat_map(Step::lines).map(|line| line + "\n").collect();
    if steps.is_empty() {
        context.output.say("Nothing differs from what was signed last.");
    }
    context.output.data(&json!({ "boundaries": steps }), text);
    Ok(Exit::DONE)
}
