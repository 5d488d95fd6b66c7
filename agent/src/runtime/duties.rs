//! What the store's state asks of the clock and of probes.

use std::collections::BTreeSet;

use casemate_engine::boundary;
use casemate_engine::update::{self, Event, State};
use casemate_protocol::bundle::probe::ProbeTarget;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::{Name, Owner};

use super::keeper::Keeper;
use super::ledger::manifest;
use super::receipts::driven;
use crate::apply;
use crate::exit::Failure;
use crate::store::Record;

/// Longest wait between two looks at a wall clock that may be set meanwhile, and before what failed is tried again,
/// seconds.
pub(super) const LOOK_AGAIN_SECONDS: u64 = 60;

/// What has to be watched while nothing happens. Nothing, on an appliance at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Duties {
    /// Uptime in seconds at which something may be due.
    pub(super) due_at: Option<u64>,
    /// Generations whose probes decide now.
    pub(super) trials: Vec<Trial>,
    /// Peers that a boundary on trial still has to reach.
    pub(super) reach: BTreeSet<Name>,
}

/// One generation whose probes decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) owner: Owner,
    pub(super) number: u64,
    pub(super) hold_seconds: u64,
    pub(super) probes: Vec<ProbeTarget>,
}

impl Keeper {
    /// Tells what has to be watched now, if it is not what was told last.
    pub(super) fn tell_duties(&mut self) {
        let size = self.store.position().size;
        if self.told == Some(size) {
            return;
        }
        self.told = Some(size);
        self.hand_over_or_retry();
        self.tell_transports();
        let duties = self.compute_duties();
        self.duties.send_if_modified(|told| {
            let changed = *told != duties;
            *told = duties;
            changed
        });
    }

    fn compute_duties(&self) -> Duties {
        if self.damage.is_some() {
            return Duties::default();
        }
        let now = self.now();
        let state = self.store.state();
        let owed = state.bundle.is_some() && self.is_settled();
        let mut due = (self.stuck.is_some() || owed).then_some(LOOK_AGAIN_SECONDS);
        for machine in state.owners.values() {
            let mut seconds = update::due_in_seconds(machine, &now);
            if matches!(machine, State::Waiting { .. }) {
                seconds = seconds.map(|seconds| seconds.min(LOOK_AGAIN_SECONDS));
            }
            if machine.pending().is_some() {
                seconds = Some(LOOK_AGAIN_SECONDS);
            }
            due = due.into_iter().chain(seconds).min();
        }
        if self.stuck.is_some() {
            // What just failed would fail again at once.
            due = due.map(|due| due.max(LOOK_AGAIN_SECONDS));
        }
        let standing = state.boundary.as_deref();
        let until = standing.and_then(|standing| boundary::due_in_seconds(&standing.state, &now));
        due = due.into_iter().chain(until).min();
        let trials = state.owners.iter().filter_map(|(owner, machine)| self.probed(owner, machine)).collect();
        Duties { due_at: due.map(|due| now.moment.uptime_seconds + due), trials, reach: self.to_reach() }
    }

    /// The owner's trial, if its probes decide now. One whose probes cannot be read is left to its deadline: no probe
    /// asked is no probe that holds.
    fn probed(&self, owner: &Owner, machine: &State) -> Option<Trial> {
        let (generation, hold_seconds) = machine.probing()?;
        let manifest = manifest(&self.store, owner, generation).ok();
        let probes = manifest.and_then(|manifest| manifest.probes().ok()).unwrap_or_default();
        let probes: Vec<_> = probes.iter().filter_map(|probe| probe.target().ok()).collect();
        if probes.is_empty() {
            tracing::error!(%owner, generation = generation.number, "the probes of the generation cannot be read");
            return None;
        }
        Some(Trial { owner: owner.clone(), number: generation.number, hold_seconds, probes })
    }

    /// Has something happen to one owner, and writes the receipt if that was the last thing missing.
    pub(super) fn event(&mut self, owner: &Owner, event: Event) -> Result<(), Failure> {
        self.writable()?;
        self.drive(Vec::new(), vec![(owner.clone(), event)])?;
        self.conclude()?;
        Ok(())
    }

    /// Does what is due: windows that have opened, deadlines that have passed, and whatever could not be done before.
    pub(super) fn tick(&mut self) -> Result<(), Failure> {
        if self.damage.is_some() {
            return Ok(());
        }
        let boundary = self.boundary_event(&boundary::Event::Tick);
        let outcome = self.resume().and_then(|()| self.conclude().map(drop)).and(boundary);
        if let Err(failure) = &outcome {
            tracing::error!(code = %failure.code, "what is due cannot be done now");
        }
        self.stuck = outcome.as_ref().err().map(|failure| failure.code);
        self.told = None;
        outcome
    }

    fn resume(&mut self) -> Result<(), Failure> {
        let states = self.store.state().owners.clone();
        let (stamp, now) = (self.stamp(), self.now());
        let trees = self.trees.clone();
        let mut ledger = self.ledger(stamp, Vec::new());
        apply::resume(&trees, &mut ledger, &now, &states).map_err(driven)
    }

    /// Carries events through; `first` is recorded together with the first of them, or alone if there is none.
    pub(super) fn drive(&mut self, first: Vec<Record>, events: Vec<(Owner, Event)>) -> Result<(), Failure> {
        let (stamp, now) = (self.stamp(), self.now());
        let trees = self.trees.clone();
        let mut ledger = self.ledger(stamp, first);
        apply::drive(&trees, &mut ledger, &now, events).map_err(driven)?;
        let left = std::mem::take(&mut ledger.first);
        if !left.is_empty() {
            self.commit(&left)?;
        }
        Ok(())
    }

    /// What owners wait for: probation, a window, both or neither.
    pub(super) fn unfinished_codes(&self) -> BTreeSet<Code> {
        let owners = self.store.state().owners.values();
        let trial = self.is_boundary_on_trial().then_some(Code::Probation);
        owners.filter_map(|machine| unfinished(machine).map(|(code, ..)| code)).chain(trial).collect()
    }

    /// What the bundle under way waits for: probation weighs more than a window.
    pub(super) fn under_way(&self) -> Option<Code> {
        let codes = self.unfinished_codes();
        [Code::Probation, Code::Waiting].into_iter().find(|code| codes.contains(code))
    }
}

/// What an owner waits for, what it was before, and the generation this is about; `None` if it waits for nothing.
pub(super) fn unfinished(state: &State) -> Option<(Code, Option<&update::Generation>, &update::Generation)> {
    match state {
        State::Waiting { before, next, .. } => Some((Code::Waiting, before.as_ref(), next)),
        State::Probation { before, next, .. } => Some((Code::Probation, before.as_ref(), next)),
        _ => None,
    }
}
