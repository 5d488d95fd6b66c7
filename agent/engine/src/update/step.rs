//! The step from one situation to the next.

use casemate_protocol::code::Code;
use thiserror::Error;

use super::effect::{Effect, Settlement};
use super::event::{Event, Offer};
use super::state::{Generation, State};

/// What [`step`] decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The situation from now on: journal it before performing `effects`.
    pub state: State,
    /// What to do, in order.
    pub effects: Vec<Effect>,
}

/// An event that cannot be taken now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StepError {
    /// Content was offered, or the owner left, while something was under way. Finish that first.
    #[error("generation {number} is still under way")]
    UnderWay {
        /// The generation under way.
        number: u64,
    },
}

impl Step {
    fn quiet(state: State) -> Self {
        Self { state, effects: Vec::new() }
    }

    fn settled(state: State, code: Code, before: Option<Generation>, after: Option<Generation>) -> Self {
        Self { state, effects: vec![Effect::Settle(Settlement { code, before, after })] }
    }

    fn then(mut self, effect: Option<Effect>) -> Self {
        self.effects.extend(effect);
        self
    }
}

/// Where `state` goes on `event`, and what has to be done for it.
///
/// A report that does not fit (late, repeated, of another generation) changes nothing.
///
/// # Errors
/// A new offer or a departure while something is under way.
pub fn step(state: State, event: &Event) -> Result<Step, StepError> {
    Ok(match event {
        Event::Offered(offer) => return offered(state, offer),
        Event::Left => return left(state),
        Event::Staged { number } => staged(state, *number),
        Event::Switched { number } => switched(state, *number),
        Event::Restored => restored(state),
        Event::Removed => removed(state),
        Event::Failed { number, code } => failed(state, *number, *code),
    })
}

fn offered(state: State, offer: &Offer) -> Result<Step, StepError> {
    let before = match &state {
        State::Idle { .. } | State::Removed { .. } => None,
        State::Committed { current, .. } if offer.is(current) => {
            let current = current.clone();
            return Ok(Step::settled(state, Code::AlreadyApplied, Some(current.clone()), Some(current)));
        }
        State::Committed { current, .. } => Some(current.clone()),
        State::Staging { .. } | State::Switching { .. } | State::Restoring { .. } | State::Removing { .. } => {
            return Err(StepError::UnderWay { number: state.last() });
        }
    };
    // The generation before the current one goes when its successor's successor is committed, not here: until then it
    // is what a return would lead to.
    let next = Generation { number: state.last() + 1, version: offer.version, manifest: offer.manifest };
    let effect = Effect::Stage(next.clone());
    let forgotten = match state {
        State::Committed { previous: Some(previous), .. } => Some(Effect::Discard(previous)),
        _ => None,
    };
    Ok(Step::quiet(State::Staging { before, next }).then(forgotten).then(Some(effect)))
}

fn left(state: State) -> Result<Step, StepError> {
    match state {
        State::Idle { .. } | State::Removed { .. } => Ok(Step::quiet(state)),
        State::Committed { current, last, .. } => {
            let state = State::Removing { before: Some(current), last };
            Ok(Step::quiet(state).then(Some(Effect::Remove)))
        }
        State::Staging { .. } | State::Switching { .. } | State::Restoring { .. } | State::Removing { .. } => {
            Err(StepError::UnderWay { number: state.last() })
        }
    }
}

fn staged(state: State, number: u64) -> Step {
    match state {
        State::Staging { before, next } if next.number == number => {
            let effect = Effect::Switch(next.clone());
            Step::quiet(State::Switching { before, next }).then(Some(effect))
        }
        other => Step::quiet(other),
    }
}

fn switched(state: State, number: u64) -> Step {
    match state {
        State::Switching { before, next } if next.number == number => {
            let committed = State::Committed { current: next.clone(), previous: before.clone(), last: number };
            Step::settled(committed, Code::Applied, before, Some(next))
        }
        other => Step::quiet(other),
    }
}

fn failed(state: State, number: u64, code: Code) -> Step {
    match state {
        // Nothing visible has changed: `current` still is what it was.
        State::Staging { before, next } if next.number == number => {
            let discard = Effect::Discard(next);
            Step::settled(back_to(before.clone(), number), code, before.clone(), before).then(Some(discard))
        }
        // The switch may have happened or not: point back in either case.
        State::Switching { before, next } if next.number == number => {
            let effect = Effect::Restore(before.clone());
            Step::quiet(State::Restoring { before, abandoned: next, code }).then(Some(effect))
        }
        other => Step::quiet(other),
    }
}

fn restored(state: State) -> Step {
    match state {
        State::Restoring { before, abandoned, code } => {
            let last = abandoned.number;
            Step::settled(back_to(before.clone(), last), code, before.clone(), before)
                .then(Some(Effect::Discard(abandoned)))
        }
        other => Step::quiet(other),
    }
}

fn removed(state: State) -> Step {
    match state {
        State::Removing { before, last } => Step::settled(State::Removed { last }, Code::Removed, before, None),
        other => Step::quiet(other),
    }
}

/// The settled state in which `before` is current and numbers up to `last` are used up.
fn back_to(before: Option<Generation>, last: u64) -> State {
    match before {
        Some(current) => State::Committed { current, previous: None, last },
        None => State::Idle { last },
    }
}
