//! `casemate plan`.

use casemate_protocol::boundary::Purpose;
use casemate_protocol::bundle::terms::CONTROL_PLANE;
use casemate_protocol::code::Code;
use casemate_protocol::tuf::time::UtcTime;
use serde_json::json;

use crate::authority::transport;
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::plan::boundary::remarks;
use crate::plan::change::{Changes, few};
use crate::plan::{Composition, Plan};
use crate::repository::{Lock, Place, Renewal};
use crate::signing::Proposal;
use crate::site::Site;
use crate::site::inventory::Row;

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
    let _lock = Lock::take(&Place::new(layout.repository()))?;
    // Before anything is read: what changes from here on makes the plan stale.
    let inputs = Site::inputs(&layout)?;
    let proposal = Proposal::of(layout, context.now)?;
    let renewal = if args.renew { Renewal::All } else { Renewal::Changed };
    let drafts = proposal.drafts(renewal)?;
    let roles = Proposal::roles(&drafts);
    let Proposal { site, state, composition, changes, .. } = &proposal;
    let warnings = warnings(site, composition, context.now);
    for warning in &warnings {
        context.output.say(format!("warning: {warning}"));
    }
    let text = if drafts.is_empty() {
        Plan::discard(&site.layout)?;
        format!("Nothing differs from the last signed state; it expires {}.\n", state.timestamp.signed.expires)
    } else {
        let summary = proposal.summary(&drafts);
        let text = summary.join("\n") + "\n" + &diffs(changes);
        Plan::keep(&site.layout, state, composition, inputs, renewal, summary)?;
        context.output.say("The plan is kept; show it to the signers, then run `casemate sign`.");
        text
    };
    let value = json!({
        "code": drafts.is_empty().then_some(Code::NothingToDo), "roles": roles, "files": changes.files, "settings": changes.settings.iter().map(|(group, what)| json!({ "group": group, "what": what })).collect::<Vec<_>>(), "affected": changes.affected,
        "removed_groups": changes.removed_groups, "boundaries": changes.boundaries, "warnings": warnings, "expires": state.timestamp.signed.expires,
    });
    context.output.data(&value, text);
    Ok(Exit::DONE)
}

fn diffs(changes: &Changes) -> String {
    let shown = changes
        .files
        .iter()
        .filter_map(|change| Some(format!("\n{}{}\n{}", change.name(), change.whose(), change.diff.as_ref()?)));
    shown.collect()
}

/// Whether the boundary of an appliance names a peer of the control plane.
fn reaches(site: &Site, row: &Row) -> bool {
    let boundary = row.boundary.as_ref().and_then(|name| site.boundaries.named.get(name));
    boundary.is_some_and(|boundary| boundary.allow.peers.iter().any(|peer| peer.purpose != Purpose::Witness))
}

/// What is allowed but probably not meant.
fn warnings(site: &Site, composition: &Composition, now: UtcTime) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, rendered) in &composition.groups {
        for path in &rendered.unlisted {
            warnings.push(format!("{path} is listed in no [[file]] and goes nowhere"));
        }
        if let Some(group) = site.groups.get(name)
            && group.apply.confirm.is_empty()
        {
            let ready = group.consumers.iter().filter(|(_, consumer)| consumer.ready.is_some());
            warnings.extend(ready.map(|(consumer, _)| {
                format!("{name}: nobody waits for {consumer} to be ready; write [apply] confirm = [\"consumers\"]")
            }));
        }
    }
    warnings.extend(site.groups.iter().filter_map(|(name, group)| {
        let awaited = group.apply.confirm.iter().any(|who| who == CONTROL_PLANE);
        let cut_off =
            site.confirmed().map(|(row, _)| row).filter(|row| row.groups.contains(name) && !reaches(site, row));
        let cut_off: Vec<_> = cut_off.map(|row| row.id.clone()).collect();
        let what = "the control plane shall confirm, and no peer leads there from";
        (awaited && !cut_off.is_empty()).then(|| format!("{name}: {what} {}", few(&cut_off)))
    }));
    for (name, boundary) in &site.boundaries.named {
        if !site.inventory.iter().any(|row| row.boundary.as_ref() == Some(name)) {
            warnings.push(format!("no line of appliances.csv names boundary {name}"));
        }
        if boundary.allow.listen.is_some() && site.authority.is_none() {
            let what = "it listens, but the site has no authority whose certificates could open it: `casemate ca init`";
            warnings.push(format!("boundary {name}: {what}"));
        }
        warnings.extend(remarks(&boundary.allow, now).into_iter().map(|remark| format!("boundary {name}: {remark}")));
    }
    warnings.extend(transport::warnings(site, now));
    let pending = site.inventory.iter().filter(|row| site.confirmed().all(|(confirmed, _)| confirmed.id != row.id));
    for row in pending {
        warnings.push(format!("{} is not confirmed and gets nothing", row.id));
    }
    warnings
}
