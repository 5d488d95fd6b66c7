//! What a plan changes of boundaries: which entries come and go, on which appliances, and how they come into force.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::boundary::{Boundary, Change, Envelope, MAX_DOCUMENT, Policy};
use casemate_protocol::device::assignment::Assignment;
use casemate_protocol::device::id::{ApplianceId, Name};
use casemate_protocol::tuf::profile::boundary_role;
use casemate_protocol::tuf::time::UtcTime;
use serde::Serialize;

use super::change::{few, read_json};
use crate::repository::{RepositoryError, State};

/// Boundaries by name.
pub(crate) type Boundaries = BTreeMap<Name, Boundary>;
/// Assignments by appliance.
type Assignments = BTreeMap<ApplianceId, Assignment>;

/// Which way a policy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Course {
    /// It allows the same, said otherwise.
    Same,
    /// It allows less.
    Narrower,
    /// It allows more.
    Wider,
    /// It allows less of one thing and more of another.
    Other,
}

impl Course {
    /// From `old` to `new`.
    pub(crate) fn of(old: &Policy, new: &Policy) -> Self {
        match (old.excess(new).is_some(), new.excess(old).is_some()) {
            (false, false) => Self::Same,
            (false, true) => Self::Narrower,
            (true, false) => Self::Wider,
            (true, true) => Self::Other,
        }
    }
}

/// What becomes of a boundary, or of the appliances that go from one to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// The boundary until now; none = nothing was allowed.
    pub(crate) before: Option<Name>,
    /// The boundary from now on; none = nothing is allowed.
    pub(crate) after: Option<Name>,
    /// Which way.
    pub(crate) course: Course,
    /// Peers that must be reached before what is wider stays; none = it is not tried.
    pub(crate) required: Vec<Name>,
    /// The entries that come and go on these appliances.
    pub(crate) changes: Vec<Change>,
    /// Tenants' flows that come and go in the documents: no appliance gets these ([`received`]).
    pub(crate) reserved: Vec<Change>,
    /// Whom it is about.
    pub(crate) appliances: Vec<ApplianceId>,
}

impl Step {
    fn new(before: Option<(&Name, &Policy)>, after: Option<(&Name, &Policy)>) -> Self {
        let nothing = Policy::default();
        let (old, new) = (before.map_or(&nothing, |(_, policy)| policy), after.map_or(&nothing, |(_, policy)| policy));
        let ((old, old_reserved), (new, new_reserved)) = (received(old), received(new));
        let required = new.peers.iter().filter(|peer| peer.required).map(|peer| peer.id.clone());
        Self {
            before: before.map(|(name, _)| name.clone()),
            after: after.map(|(name, _)| name.clone()),
            course: Course::of(&old, &new),
            required: required.collect(),
            changes: old.changes(&new),
            reserved: old_reserved.changes(&new_reserved),
            appliances: Vec::new(),
        }
    }

    /// One line that says which way it goes and for whom, then a line an entry.
    pub(crate) fn lines(&self) -> Vec<String> {
        let name = |name: &Option<Name>| name.as_ref().map_or("none", Name::as_str).to_owned();
        let (before, after) = (name(&self.before), name(&self.after));
        let which = if before == after { before } else { format!("{before} -> {after}") };
        let whom = if self.appliances.is_empty() {
            "no appliance is in it".into()
        } else {
            format!("on {}", few(&self.appliances))
        };
        let mut lines = vec![format!("boundary {which}: {}; {whom}", self.manner())];
        lines.extend(self.changes.iter().map(|change| format!("  {change}")));
        lines.extend(self.reserved.iter().map(|change| format!("  {change}: reserved, on no appliance")));
        lines
    }

    /// How it comes into force.
    fn manner(&self) -> String {
        let way = match self.course {
            Course::Same => return "allows the same".into(),
            Course::Narrower => return "narrower, in force at once".into(),
            Course::Wider => "wider",
            Course::Other => "wider in one place, narrower in another",
        };
        let names: Vec<_> = self.required.iter().map(Name::as_str).collect();
        match names.len() {
            0 => format!("{way}; not tried, because no peer in it is required"),
            1 => format!("{way}; tried first, given up unless the peer {} is reached", names[0]),
            _ => format!("{way}; tried first, given up unless the peers {} are reached", names.join(", ")),
        }
    }
}

/// What appliances get of `policy`, and what only appliances that serve a tenant would: no assignment this tool writes
/// names a tenant.
fn received(policy: &Policy) -> (Policy, Policy) {
    let (reserved, flows) = policy.flows.iter().cloned().partition(|flow| flow.owner.is_some());
    (Policy { flows, ..policy.clone() }, Policy { flows: reserved, ..Policy::default() })
}

/// The boundaries `state` publishes.
///
/// # Errors
/// A published file cannot be read.
pub(crate) fn published(state: &State) -> Result<Boundaries, RepositoryError> {
    let mut boundaries = Boundaries::new();
    let role = boundary_role();
    let Some(document) = state.delegated.get(&role) else { return Ok(boundaries) };
    for path in document.signed.targets.keys().filter(|path| *path != Envelope::TARGET) {
        let boundary: Boundary = read_json(state, &role, path, MAX_DOCUMENT)?;
        boundaries.insert(boundary.name.clone(), boundary);
    }
    Ok(boundaries)
}

/// What becomes of every boundary itself, whoever is in it.
pub(crate) fn differences(old: &Boundaries, new: &Boundaries) -> Vec<Step> {
    let step = |(before, after)| Step::new(named(old, before), named(new, after));
    differing(old, new).map(step).collect()
}

/// Names before and after of the boundaries that come, go or change.
fn differing<'a>(
    old: &'a Boundaries,
    new: &'a Boundaries,
) -> impl Iterator<Item = (Option<&'a Name>, Option<&'a Name>)> {
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differing.map(|name| (old.contains_key(name).then_some(name), new.contains_key(name).then_some(name)))
}

/// The same with the appliances each step is about, and the steps of those that go from one boundary to another.
pub(super) fn steps(old: (&Boundaries, &Assignments), new: (&Boundaries, &Assignments)) -> Vec<Step> {
    let mut moves: BTreeMap<(Option<&Name>, Option<&Name>), Vec<ApplianceId>> = BTreeMap::new();
    for (id, assignment) in new.1 {
        let before = old.1.get(id).and_then(|before| before.boundary.as_ref());
        let after = assignment.boundary.as_ref();
        if before != after || before.is_some_and(|name| old.0.get(name) != new.0.get(name)) {
            moves.entry((before, after)).or_default().push(id.clone());
        }
    }
    // One that nobody is in changes too: it is signed all the same.
    for (before, after) in differing(old.0, new.0) {
        let tells = |(one, two): &(Option<&Name>, Option<&Name>)| match (before, after) {
            (None, _) => *two == after,
            (_, None) => *one == before,
            both => (*one, *two) == both,
        };
        if !moves.keys().any(tells) {
            moves.insert((before, after), Vec::new());
        }
    }
    let step =
        |((before, after), appliances)| Step { appliances, ..Step::new(named(old.0, before), named(new.0, after)) };
    moves.into_iter().map(step).collect()
}

fn named<'a>(boundaries: &'a Boundaries, name: Option<&Name>) -> Option<(&'a Name, &'a Policy)> {
    boundaries.get_key_value(name?).map(|(name, boundary)| (name, &boundary.allow))
}

/// What is allowed in `policy` but perhaps not meant.
pub(crate) fn remarks(policy: &Policy, now: UtcTime) -> Vec<String> {
    let mut remarks = Vec::new();
    match policy.observe_until {
        Some(until) if until <= now => {
            remarks.push(format!("observe_until {until} has passed: everything is enforced"));
        }
        Some(until) => remarks.push(format!("nothing is dropped until {until}, only told; health is degraded so long")),
        None => {}
    }
    for flow in policy.flows.iter().filter(|flow| flow.owner.is_some()) {
        remarks.push(format!("{flow}: no appliance of this site serves a tenant yet, so none gets it"));
    }
    if !policy.peers.is_empty() && !policy.peers.iter().any(|peer| peer.required) {
        remarks.push("no peer is required, so a wider version of it is not tried: it is in force at once".into());
    }
    remarks
}

/// An envelope in one line.
pub(crate) fn told(envelope: &Envelope) -> String {
    let networks: Vec<_> = envelope.networks.iter().map(ToString::to_string).collect();
    let networks = if networks.is_empty() { "no network".into() } else { networks.join(", ") };
    let pins =
        envelope.pins.as_ref().map_or("any peer key".into(), |pins| crate::output::count(pins.len(), "peer key"));
    let may = |what: bool, word: &str| if what { format!(", {word}") } else { String::new() };
    format!("{networks}; {pins}{}{}", may(envelope.dhcp, "dhcp"), may(envelope.observe, "observing"))
}
