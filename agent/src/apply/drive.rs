//! Carries owners from event to event: journal first, then the effect, then what came of it.

use std::collections::{BTreeMap, BTreeSet};

use casemate_engine::time::Now;
use casemate_engine::update::{Effect, Event, Generation, Settlement, State, StepError, step};
use casemate_protocol::code::Explain;
use casemate_protocol::device::id::Owner;
use thiserror::Error;

use super::error::ApplyError;
use super::trees::{TreeFile, Trees};

/// What has to be journalled, in order, in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The owner stands here from now on.
    Moved {
        /// Who.
        owner: Owner,
        /// Where.
        state: State,
    },
    /// The owner's part of the bundle is final.
    Settled {
        /// Whose.
        owner: Owner,
        /// How.
        settlement: Settlement,
    },
}

/// Where changes are journalled and generations are described: the store, seen from here.
pub trait Ledger {
    /// Why journalling or looking up failed.
    type Error: std::error::Error;

    /// Where the owner stands.
    fn state(&self, owner: &Owner) -> State;

    /// Makes all changes durable, or none. Where nothing changed there is nothing to record.
    ///
    /// # Errors
    /// Nothing was journalled: no effect may follow.
    fn journal(&mut self, changes: Vec<Change>) -> Result<(), Self::Error>;

    /// The files of a generation, from its verified manifest; each object is on disk.
    ///
    /// # Errors
    /// The manifest or an object is gone.
    fn files(&self, owner: &Owner, generation: &Generation) -> Result<Vec<TreeFile>, Self::Error>;
}

/// Why driving stopped. The journalled states say what is left to do; [`recover`] does it.
#[derive(Debug, Error)]
pub enum DriveError<E: std::error::Error> {
    /// The ledger failed.
    #[error("the change could not be recorded or looked up")]
    Ledger(#[source] E),
    /// An event came while the owner was busy.
    #[error("{owner} is busy")]
    Step {
        /// Who.
        owner: Owner,
        /// With what.
        #[source]
        source: StepError,
    },
    /// Pointing back failed too: left pending, for a restart.
    #[error("the previous generation of {owner} could not be brought back")]
    Apply {
        /// Whose.
        owner: Owner,
        /// Why.
        #[source]
        source: ApplyError,
    },
}

/// Carries `events` through until every owner they concern is settled, or waits for its window or for confirmation.
/// Owners move in step, so that one transaction serves them all: three for a bundle without conditions, however many
/// owners it has. An owner whose return fails stays where it is and holds up no other.
///
/// # Durability
/// Every outcome, when it returns `Ok`.
///
/// # Errors
/// The ledger fails, an owner is busy, or a return fails. Owners that are settled stay settled.
pub fn drive<L: Ledger>(
    trees: &Trees,
    ledger: &mut L,
    now: &Now,
    mut events: Vec<(Owner, Event)>,
) -> Result<(), DriveError<L::Error>> {
    let mut failure = None;
    while !events.is_empty() {
        let mut changes = Vec::new();
        let mut effects = Vec::new();
        for (owner, event) in events.drain(..) {
            let before = ledger.state(&owner);
            let next = step(before.clone(), &event, now)
                .map_err(|source| DriveError::Step { owner: owner.clone(), source })?;
            if next.state != before {
                changes.push(Change::Moved { owner: owner.clone(), state: next.state });
            }
            for effect in next.effects {
                match effect {
                    Effect::Settle(settlement) => {
                        changes.push(Change::Settled { owner: owner.clone(), settlement });
                    }
                    effect => effects.push((owner.clone(), effect)),
                }
            }
        }
        ledger.journal(changes).map_err(DriveError::Ledger)?;
        for (owner, effect) in effects {
            match perform(trees, ledger, &owner, &effect) {
                Ok(event) => events.extend(event.map(|event| (owner, event))),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Does again what the states in `states` say was under way, looks at the clock for those that wait, and carries both
/// on: at the start, and whenever something may be due.
///
/// # Errors
/// As [`drive`].
pub fn resume<L: Ledger>(
    trees: &Trees,
    ledger: &mut L,
    now: &Now,
    states: &BTreeMap<Owner, State>,
) -> Result<(), DriveError<L::Error>> {
    let (mut events, mut failure) = (Vec::new(), None);
    for (owner, state) in states {
        if let Some(effect) = state.pending() {
            match perform(trees, ledger, owner, &effect) {
                Ok(event) => events.extend(event.map(|event| (owner.clone(), event))),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        } else if state.is_waiting() {
            events.push((owner.clone(), Event::Tick));
        }
    }
    drive(trees, ledger, now, events)?;
    failure.map_or(Ok(()), Err)
}

/// As [`resume`]; then builds again what is current and gone from the folder, and deletes generations nothing leads
/// to. For the start, before anything else is accepted.
///
/// # Errors
/// As [`drive`].
pub fn recover<L: Ledger>(
    trees: &Trees,
    ledger: &mut L,
    now: &Now,
    states: &BTreeMap<Owner, State>,
) -> Result<(), DriveError<L::Error>> {
    let resumed = resume(trees, ledger, now, states);
    for owner in states.keys() {
        rebuild(trees, ledger, owner);
        let keep: BTreeSet<u64> = ledger.state(owner).kept().map(|generation| generation.number).collect();
        let keep = BTreeMap::from([(owner.clone(), keep)]);
        trees.sweep(&keep).map_err(|source| DriveError::Apply { owner: owner.clone(), source })?;
    }
    resumed
}

/// Builds again and points at what the journal says is current, where a hand or a file system check took it away. What
/// cannot be built again keeps nobody from starting: without a start nothing could be imported either.
fn rebuild<L: Ledger>(trees: &Trees, ledger: &L, owner: &Owner) {
    let state = ledger.state(owner);
    let Some(generation) = state.current() else { return };
    let number = generation.number;
    if trees.current(owner) == Some(number) && trees.generation_path(owner, number).is_dir() {
        return;
    }
    let built = match ledger.files(owner, generation) {
        Ok(files) => trees.stage(owner, number, &files).and_then(|()| trees.switch(owner, number)),
        Err(error) => {
            tracing::error!(%owner, generation = number, %error, "the generation is gone and cannot be built again");
            return;
        }
    };
    match built {
        Ok(()) => tracing::warn!(%owner, generation = number, "the generation was gone and was built again"),
        Err(error) => {
            tracing::error!(%owner, generation = number, %error, "the generation is gone and cannot be built again");
        }
    }
}

/// Performs one effect; the event that reports it, if it has one.
fn perform<L: Ledger>(
    trees: &Trees,
    ledger: &L,
    owner: &Owner,
    effect: &Effect,
) -> Result<Option<Event>, DriveError<L::Error>> {
    let fatal = |source| DriveError::Apply { owner: owner.clone(), source };
    Ok(match effect {
        Effect::Stage(generation) => {
            let number = generation.number;
            let files = ledger.files(owner, generation).map_err(DriveError::Ledger)?;
            Some(match trees.stage(owner, number, &files) {
                Ok(()) => Event::Staged { number },
                Err(error) => Event::Failed { number, code: error.code() },
            })
        }
        Effect::Switch(generation) => {
            let number = generation.number;
            Some(match trees.switch(owner, number) {
                Ok(()) => Event::Switched { number },
                Err(error) => Event::Failed { number, code: error.code() },
            })
        }
        Effect::Restore(before) => {
            trees.restore(owner, before.as_ref().map(|generation| generation.number)).map_err(fatal)?;
            Some(Event::Restored)
        }
        Effect::Remove => {
            trees.remove(owner).map_err(fatal)?;
            Some(Event::Removed)
        }
        Effect::Discard(generation) => {
            // A generation that cannot be deleted costs space, not correctness: swept at the next start.
            let _ = trees.discard(owner, generation.number);
            None
        }
        Effect::Settle(_) => None,
    })
}
