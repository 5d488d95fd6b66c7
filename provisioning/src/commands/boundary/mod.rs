//! `casemate boundary`.

mod check;
mod diff;
mod propose;

use std::collections::BTreeMap;

use casemate_protocol::boundary::Boundary;
use casemate_protocol::device::id::{ApplianceId, Name};

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::repository::{Place, State};
use crate::site::boundary::{Boundaries, binding, policy};
use crate::site::finding::{Finding, Findings, nearest};
use crate::site::inventory::{self, Row};
use crate::site::settings::{self, Settings};

/// One thing to do with boundaries.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Judge the site's boundaries by the appliances' rules and the envelope; signs and writes nothing
    Check(check::Args),
    /// Show what the site's boundaries change of the signed ones, and which way each goes
    Diff(diff::Args),
    /// Print the flows that would allow what an appliance saw, for somebody to judge
    ///
    /// Reads what `casemate-agent boundary show --json` prints on an appliance, or the watcher's drops.json: packets that were
    /// stopped, or only told while the boundary was observed. Prints TOML that `casemate boundary check` accepts; what is
    /// beyond the envelope stands there as a comment. Writes nothing: that somebody asked for it does not make it right.
    Propose(propose::Args),
}

/// Runs it.
pub(crate) fn run(context: &Context, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Check(args) => check::run(context, args),
        Verb::Diff(args) => diff::run(context, args),
        Verb::Propose(args) => propose::run(context, args),
    }
}

/// The boundaries of a site, checked, whatever stands in the rest of it.
struct Opened {
    boundaries: Boundaries,
    inventory: Vec<Row>,
    state: State,
}

impl Opened {
    fn read(context: &Context) -> Result<Self, Failure> {
        let layout = context.layout()?;
        let settings = Settings::parse(&layout.text(settings::FILE)?)?;
        let state = State::read(Place::new(layout.repository()))?;
        crate::signing::publication::same_jurisdiction(&settings, &state)?;
        let mut findings = Findings::default();
        let inventory = findings.keep(layout.text(inventory::FILE).and_then(|text| inventory::parse(&text)))?;
        let inventory = inventory.unwrap_or_default();
        let boundaries = Boundaries::read(&layout, settings.jurisdiction, &mut findings)?;
        boundaries.cross_check(&inventory, &mut findings);
        findings.none()?;
        binding::check(&boundaries, state.profile()?.envelope)?;
        Ok(Self { boundaries, inventory, state })
    }

    fn appliances(&self, boundary: &Name) -> Vec<ApplianceId> {
        let inside = self.inventory.iter().filter(|row| row.boundary.as_ref() == Some(boundary));
        inside.map(|row| row.id.clone()).collect()
    }
}

/// Whether `name`, if it is given, is in one of `places`.
fn expect(name: Option<&Name>, places: &[&BTreeMap<Name, Boundary>]) -> Result<(), Failure> {
    let known: Vec<_> = places.iter().flat_map(|place| place.keys()).map(Name::as_str).collect();
    match name.filter(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            Err(Finding::new(&policy::file(name), 0, "there is no such boundary", nearest(name.as_str(), &known))
                .into())
        }
    }
}
