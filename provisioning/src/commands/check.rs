//! `casemate check`.

use casemate_protocol::bundle::appraisal::{Addressee, Device, Inspection};
use casemate_protocol::code::Code;
use casemate_protocol::device::id::ApplianceId;
use casemate_protocol::tuf::role::Version;
use serde_json::json;

use crate::authority::transport;
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Table, bytes, count};
use crate::pack::bounded::{in_words, value};
use crate::pack::judge::Judge;
use crate::pack::{Contents, Selection};
use crate::repository::{Place, State};
use crate::site::Site;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(context: &Context, _args: &Args) -> Result<Exit, Failure> {
    let site = Site::read(context.layout()?)?;
    let state = State::read(Place::new(site.layout.repository()))?;
    let contents = Contents::of(&state, &Selection::Everybody, Version::FIRST)?;
    let bar = context.output.progress(contents.length());
    let judged = judge(context, &site, &state, &contents, &mut |count| bar.inc(count));
    bar.finish_and_clear();
    let inspection = judged?;
    let connects = inspection.addressees.iter().any(|addressee| addressee.assignment.transport.is_some());
    let head = ["appliance", "verdict", "boundary", "connections"];
    let columns = if connects { 4 } else { 3 };
    let mut table = Table::new(&head[..columns]);
    for addressee in &inspection.addressees {
        let id = addressee.assignment.appliance.to_string();
        let connections = transport::told(addressee.assignment.transport.as_ref());
        let cells = [id, "accepts".to_owned(), in_words(&addressee.boundary), connections];
        table.row(cells.into_iter().take(columns));
    }
    let boundaries = inspection.addressees.iter();
    let boundaries: Vec<_> = boundaries
        .map(|addressee| json!({ "id": addressee.assignment.appliance, "boundary": value(&addressee.boundary) }))
        .collect();
    let connections = |addressee: &Addressee| {
        json!({
            "id": addressee.assignment.appliance,
            "transport": transport::value(addressee.assignment.transport.as_ref()),
        })
    };
    let connections: Vec<_> = inspection.addressees.iter().map(connections).collect();
    let whom = count(contents.addressed.len(), "appliance");
    context.output.say(format!("{whom} would accept timestamp {} ({}).", contents.version, bytes(contents.length())));
    let value = json!({
        "timestamp": contents.version, "expires": state.timestamp.signed.expires,
        "appliances": contents.addressed, "boundaries": boundaries, "connections": connections,
    });
    context.output.data(&value, table.to_string());
    Ok(Exit::DONE)
}

/// Judges `contents` as everybody, then as each appliance it addresses.
///
/// # Errors
/// Somebody would refuse it.
pub(crate) fn judge(
    context: &Context,
    site: &Site,
    state: &State,
    contents: &Contents,
    seen: &mut dyn FnMut(u64),
) -> Result<Inspection, Failure> {
    let first = state.roots(Version::FIRST)?;
    let root = first.into_iter().next().map(|(_, raw)| raw).unwrap_or_default();
    let mut judge = Judge::new(root, context.now);
    let inspection = judge.everybody(contents, seen)?;
    for id in &contents.addressed {
        judge.appliance(contents, device(site, id)?)?;
    }
    Ok(inspection)
}

fn device(site: &Site, id: &ApplianceId) -> Result<Device, NotEnrolled> {
    let enrolled = site.enrolled.get(id).ok_or_else(|| NotEnrolled(id.clone()))?;
    Ok(Device { id: id.clone(), jurisdiction: enrolled.jurisdiction, keys: enrolled.keys.fingerprint() })
}

/// A signed assignment without an enrolment.
#[derive(Debug, thiserror::Error)]
#[error("an assignment of {0} is signed, but the site no longer knows its keys")]
pub(crate) struct NotEnrolled(ApplianceId);

impl casemate_protocol::code::Explain for NotEnrolled {
    fn code(&self) -> Code {
        Code::PlanStale
    }

    fn remedy(&self) -> String {
        "Plan and sign again, so that what is signed follows the site.".into()
    }
}
