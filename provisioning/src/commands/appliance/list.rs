//! `casemate appliance list`.

use casemate_protocol::device::id::Name;
use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::Table;
use crate::site::Site;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those of this group
    #[arg(short, long)]
    group: Option<Name>,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let site = Site::read(context.layout()?)?;
    let mut table = Table::new(&["id", "state", "groups", "serial", "words"]);
    let mut values = Vec::new();
    for row in &site.inventory {
        if args.group.as_ref().is_some_and(|group| !row.groups.contains(group)) {
            continue;
        }
        let enrolled = site.enrolled.get(&row.id);
        let state = enrolled.map_or("not enrolled", |enrolled| enrolled.state.as_str());
        let words = enrolled.map(|enrolled| enrolled.words().to_string());
        let groups: Vec<_> = row.groups.iter().map(Name::as_str).collect();
        let cells = [row.id.as_str(), state, &groups.join(" "), &row.serial, words.as_deref().unwrap_or("")];
        table.row(cells.map(str::to_owned));
        values.push(json!({
            "id": row.id, "state": state, "groups": groups, "serial": row.serial, "boundary": row.boundary,
            "device": enrolled.map(|enrolled| enrolled.keys.fingerprint()), "words": words,
        }));
    }
    context.output.data(&json!({ "appliances": values }), table.to_string());
    Ok(Exit::DONE)
}
