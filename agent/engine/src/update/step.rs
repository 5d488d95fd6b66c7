//! The step from one situation to the next.

use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::code::Code;
use thiserror::Error;

use super::effect::{Effect, Settlement};
use super::event::{Event, Offer};
use super::state::{Failed, Generation, State};
use super::trial;
use crate::time::Now;

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
    /// Content was offered, or the owner left, while something was under way. Finish that first, or end it with
    /// [`Event::Superseded`] where it only waits.
    #[error("generation {number} is still under way")]
    UnderWay {
        /// The generation under way.
        number: u64,
    },
}

impl Step {
    pub(super) fn quiet(state: State) -> Self {
        Self { state, effects: Vec::new() }
    }

    pub(super) fn settled(state: State, code: Code, before: Option<Generation>, after: Option<Generation>) -> Self {
        Self { state, effects: vec![Effect::Settle(Settlement { code, before, after })] }
    }

    pub(super) fn then(mut self, effect: impl Into<Option<Effect>>) -> Self {
        self.effects.extend(effect.into());
        self
    }
}

/// Where `state` goes on `event` at `now`, and what has to be done for it.
///
/// A report that does not fit (late, repeated, of another generation) changes nothing.
///
/// # Errors
/// A new offer or a departure while something is under way.
pub fn step(state: State, event: &Event, now: &Now) -> Result<Step, StepError> {
    Ok(match event {
        Event::Offered(offer) => return offered(state, offer),
        Event::Left => return left(state),
        Event::Staged { number } => staged(state, *number, now),
        Event::Switched { number } => switched(state, *number, now),
        Event::Tick => trial::tick(state, now),
        Event::Reported { number, consumer, report } => trial::reported(state, *number, consumer, report, now),
        Event::Held { number } => trial::held(state, *number, now),
        Event::Superseded => trial::superseded(state),
        Event::Restored => restored(state),
        Event::Removed => removed(state),
        Event::Failed { number, code } => failed(state, *number, *code),
    })
}

fn offered(state: State, offer: &Offer) -> Result<Step, StepError> {
    let before = match &state {
        State::Idle { .. } | State::Removed { .. } => None,
        State::Committed { current, .. } => Some(current.clone()),
        _ => return Err(StepError::UnderWay { number: state.last() }),
    };
    if before.as_ref().is_some_and(|current| offer.is(current)) {
        return Ok(Step::settled(state, Code::AlreadyApplied, before.clone(), before));
    }
    if state.failed().is_some_and(|failed| offer.is_known_to_fail(failed)) {
        return Ok(Step::settled(state, Code::FailedBefore, before.clone(), before));
    }
    let next = Generation { number: state.last() + 1, version: offer.version, manifest: offer.manifest };
    let effect = Effect::Stage(next.clone());
    // What a return from the new generation leads to is the current one; the one before it is no longer needed.
    let forgotten = match state {
        State::Committed { previous: Some(previous), .. } => Some(Effect::Discard(previous)),
        _ => None,
    };
    let terms = if offer.terms.is_plain() { Terms::default() } else { offer.terms.clone() };
    Ok(Step::quiet(State::Staging { before, next, terms }).then(forgotten).then(effect))
}

fn left(state: State) -> Result<Step, StepError> {
    match state {
        State::Idle { .. } | State::Removed { .. } => Ok(Step::quiet(state)),
        State::Committed { current, last, failed, .. } => {
            let state = State::Removing { before: Some(current), last, failed };
            Ok(Step::quiet(state).then(Effect::Remove))
        }
        _ => Err(StepError::UnderWay { number: state.last() }),
    }
}

fn staged(state: State, number: u64, now: &Now) -> Step {
    match state {
        State::Staging { before, next, terms } if next.number == number => {
            trial::tick(State::Waiting { before, next, terms, since: now.moment }, now)
        }
        other => Step::quiet(other),
    }
}

fn switched(state: State, number: u64, now: &Now) -> Step {
    match state {
        State::Switching { before, next, terms } if next.number == number => {
            if terms.is_gated() {
                let (since, boots, ready) = (now.moment, 1, Default::default());
                return Step::quiet(State::Probation { before, next, terms, since, boots, ready });
            }
            committed(before, next)
        }
        other => Step::quiet(other),
    }
}

/// `next` is what the owner runs from now on.
pub(super) fn committed(before: Option<Generation>, next: Generation) -> Step {
    let last = next.number;
    let state = State::Committed { current: next.clone(), previous: before.clone(), last, failed: None };
    Step::settled(state, Code::Applied, before, Some(next))
}

fn failed(state: State, number: u64, code: Code) -> Step {
    match state {
        State::Staging { before, next, .. } if next.number == number => {
            let state = back_to(before.clone(), next.number, None);
            Step::settled(state, code, before.clone(), before).then(Effect::Discard(next))
        }
        // The switch may have happened or not: point back in either case.
        State::Switching { before, next, .. } if next.number == number => undone(before, next, code, None),
        other => Step::quiet(other),
    }
}

/// `before` is to be current again.
pub(super) fn undone(before: Option<Generation>, abandoned: Generation, code: Code, failed: Option<Failed>) -> Step {
    let effect = Effect::Restore(before.clone());
    Step::quiet(State::Restoring { before, abandoned, code, failed }).then(effect)
}

fn restored(state: State) -> Step {
    match state {
        State::Restoring { before, abandoned, code, failed } => {
            let state = back_to(before.clone(), abandoned.number, failed);
            Step::settled(state, code, before.clone(), before).then(Effect::Discard(abandoned))
        }
        other => Step::quiet(other),
    }
}

fn removed(state: State) -> Step {
    match state {
        State::Removing { before, last, failed } => {
            Step::settled(State::Removed { last, failed }, Code::Removed, before, None)
        }
        other => Step::quiet(other),
    }
}

/// The settled state in which `before` is current and numbers up to `last` are used up.
pub(super) fn back_to(before: Option<Generation>, last: u64, failed: Option<Failed>) -> State {
    match before {
        Some(current) => State::Committed { current, previous: None, last, failed },
        None => State::Idle { last, failed },
    }
}
