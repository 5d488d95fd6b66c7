//! `casemate boundary check`.

use casemate_protocol::boundary::Boundary;
use casemate_protocol::device::id::Name;
use serde_json::{Value, json};

use super::{Opened, expect};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::plan::boundary::{remarks, told};
use crate::plan::change::few;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show only this boundary; all of them are checked
    name: Option<Name>,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let opened = Opened::read(context)?;
    expect(args.name.as_ref(), &[&opened.boundaries.named])?;
    let mut text = String::new();
    if let Some(file) = &opened.boundaries.envelope {
        text.push_str(&format!("envelope, as root binds it: {}\n", told(&file.envelope)));
    }
    let shown = opened.boundaries.named.values();
    let shown: Vec<_> = shown.filter(|boundary| args.name.as_ref().is_none_or(|name| boundary.name == *name)).collect();
    for boundary in &shown {
        let entries = boundary.allow.entries();
        let inside = opened.appliances(&boundary.name);
        let whom = if inside.is_empty() { "no appliance".into() } else { few(&inside) };
        text.push_str(&format!("boundary {} of {whom}:\n", boundary.name));
        entries.iter().for_each(|entry| text.push_str(&format!("  {entry}\n")));
        if entries.is_empty() {
            text.push_str("  nothing is allowed\n");
        }
        for remark in remarks(&boundary.allow, context.now) {
            context.output.say(format!("warning: boundary {}: {remark}", boundary.name));
        }
    }
    context.output.say(match opened.boundaries.named.len() {
        0 => "There is no boundary: nothing may leave any appliance.".into(),
        1 => "1 boundary, inside the envelope.".into(),
        number => format!("{number} boundaries, all inside the envelope."),
    });
    let envelope = opened.boundaries.envelope.as_ref();
    let envelope = envelope.map(|file| json!({ "sha256": file.digest, "content": file.envelope }));
    let boundaries: Vec<_> = shown.into_iter().map(|boundary| value(context, &opened, boundary)).collect();
    context.output.data(&json!({ "envelope": envelope, "boundaries": boundaries }), text);
    Ok(Exit::DONE)
}

fn value(context: &Context, opened: &Opened, boundary: &Boundary) -> Value {
    json!({
        "name": boundary.name, "policy": boundary.allow.digest(), "allow": boundary.allow,
        "entries": boundary.allow.entries(), "appliances": opened.appliances(&boundary.name),
        "remarks": remarks(&boundary.allow, context.now),
    })
}
