//! `casemate plan`.

use casemate_protocol::code::Code;
use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::count;
use crate::plan::change::{self, Changes};
use crate::plan::{Composition, Plan};
use crate::repository::{Editor, Lock, Place, Renewal, State};
use crate::signing::publication::same_jurisdiction;
use crate::site::Site;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Issue everything again, also what does not change: expiry draws near
    #[arg(long)]
    renew: bool,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let layout = context.layout()?;
    let place = Place::new(layout.repository());
    let _lock = Lock::take(&place)?;
    // Before anything is read: what changes from here on makes the plan stale.
    let inputs = Site::inputs(&layout)?;
    let site = Site::read(layout)?;
    let state = State::read(place)?;
    same_jurisdiction(&site.settings, &state)?;
    let composition = Composition::of(&site)?;
    let changes = change::compare(&state, &composition)?;
    let renewal = if args.renew { Renewal::All } else { Renewal::Changed };
    let editor = Editor { state: &state, settings: &site.settings, now: context.now };
    let drafts = editor.drafts(&composition.content, renewal)?;
    let roles: Vec<_> = drafts.iter().map(|draft| format!("{} {}", draft.role, draft.signed.version)).collect();
    let warnings = warnings(&site, &composition);
    for warning in &warnings {
        context.output.say(format!("warning: {warning}"));
    }
    let text = if drafts.is_empty() {
        Plan::discard(&site.layout)?;
        format!("Nothing differs from the last signed state; it expires {}.\n", state.timestamp.signed.expires)
    } else {
        let summary = summary(&site, &changes, &roles);
        let text = summary.join("\n") + "\n" + &diffs(&changes);
        Plan::keep(&site.layout, &state, &composition, inputs, renewal, summary)?;
        context.output.say("The plan is kept; show it to the signers, then run `casemate sign`.");
        text
    };
    let value = json!({
        "code": drafts.is_empty().then_some(Code::NothingToDo), "roles": roles, "files": changes.files, "settings": changes.settings.iter().map(|(group, what)| json!({ "group": group, "what": what })).collect::<Vec<_>>(), "affected": changes.affected,
        "removed_groups": changes.removed_groups, "warnings": warnings, "expires": state.timestamp.signed.expires,
    });
    context.output.data(&value, text);
    Ok(Exit::DONE)
}

/// What signers are shown.
fn summary(site: &Site, changes: &Changes, roles: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for group in &changes.groups {
        if let Some(source) = site.groups.get(group) {
            lines.push(format!("{group}: {}", source.summary));
        }
    }
    lines.extend(changes.files.iter().map(|change| format!("  {}", change.line())));
    lines.extend(changes.settings.iter().map(|(group, what)| format!("  changed  {group}: {what}")));
    lines.extend(changes.removed_groups.iter().map(|group| format!("  group {group} goes, with all its files")));
    match changes.affected.len() {
        0 => lines.push("No appliance gets anything else than now.".into()),
        number => lines.push(format!("Affected: {}", count(number, "appliance"))),
    }
    lines.extend(changes.affected_lines().iter().map(|line| format!("  {line}")));
    lines.push(format!("To be signed: {}", roles.join(", ")));
    lines
}

fn diffs(changes: &Changes) -> String {
    let shown = changes
        .files
        .iter()
        .filter_map(|change| Some(format!("\n{}{}\n{}", change.name(), change.whose(), change.diff.as_ref()?)));
    shown.collect()
}

/// What is allowed but probably not meant.
fn warnings(site: &Site, composition: &Composition) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, rendered) in &composition.groups {
        for path in &rendered.unlisted {
            warnings.push(format!("{path} is listed in no [[file]] and goes nowhere"));
        }
        if let Some(group) = site.groups.get(name)
            && (!group.apply.is_plain() || !group.consumers.is_empty())
        {
            warnings.push(format!(
                "{name} asks for [apply] or [consumer]: agents that cannot do that yet refuse it whole (unsupported-manifest)"
            ));
        }
    }
    let pending = site.inventory.iter().filter(|row| site.confirmed().all(|(confirmed, _)| confirmed.id != row.id));
    for row in pending {
        warnings.push(format!("{} is not confirmed and gets nothing", row.id));
    }
    warnings
}
