//! What a durable change means to whoever follows.

use casemate_engine::update::{Generation, State};
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Owner;

use crate::local_api::event::{BoundaryEvent, EventKind, GenerationEvent, Milestone, ReceiptEvent};
use crate::store::Record;

/// What it means that `owner` moved from one state to the other. `code` is how its part of the bundle ended, if the
/// move ended it.
pub(super) fn moved(owner: &Owner, before: &State, after: &State, code: Option<Code>) -> Vec<EventKind> {
    let event = |state, generation: Option<&Generation>, code| {
        let generation = generation.map(|generation| generation.number);
        EventKind::Generation(GenerationEvent { owner: owner.clone(), state, generation, code })
    };
    match (before, after) {
        (State::Staging { next, .. }, State::Switching { .. }) => vec![event(Milestone::Staged, Some(next), None)],
        (State::Staging { next, .. }, State::Waiting { .. }) => {
            vec![event(Milestone::Staged, Some(next), None), event(Milestone::Waiting, Some(next), None)]
        }
        (State::Switching { .. }, State::Probation { next, .. }) => vec![event(Milestone::Probation, Some(next), None)],
        (State::Switching { .. } | State::Probation { .. }, State::Committed { current, .. }) => {
            vec![event(Milestone::Committed, Some(current), None)]
        }
        (State::Restoring { .. }, State::Committed { .. } | State::Idle { .. }) => {
            vec![event(Milestone::Restored, after.current(), code)]
        }
        (State::Staging { next, .. } | State::Waiting { next, .. }, State::Committed { .. } | State::Idle { .. }) => {
            vec![event(Milestone::Failed, Some(next), code)]
        }
        (State::Removing { .. }, State::Removed { .. }) => vec![event(Milestone::Removed, None, None)],
        _ => Vec::new(),
    }
}

/// The receipts among `records`, and what they say of the boundary.
pub(super) fn of_all(records: &[Record]) -> impl Iterator<Item = EventKind> {
    records.iter().filter_map(|record| match record {
        Record::Receipt { sequence, entry } => {
            Some(EventKind::Receipt(ReceiptEvent { receipt: *sequence, code: entry.code }))
        }
        Record::Boundary(moved) if moved.code != Code::AlreadyApplied => {
            Some(EventKind::Boundary(BoundaryEvent { code: moved.code, policy: moved.after }))
        }
        _ => None,
    })
}

/// Everything `records` mean, on top of `states`.
pub(super) fn of(state: impl Fn(&Owner) -> State, records: &[Record]) -> Vec<EventKind> {
    let ended = |owner: &Owner| {
        records.iter().find_map(|record| match record {
            Record::Outcome(outcome) if outcome.id == *owner => Some(outcome.code),
            _ => None,
        })
    };
    let moves = records.iter().filter_map(|record| match record {
        Record::Owner { owner, state: after } => Some(moved(owner, &state(owner), after, ended(owner))),
        _ => None,
    });
    moves.flatten().chain(of_all(records)).collect()
}
