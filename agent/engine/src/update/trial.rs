//! The time between "whole on disk" and "committed": the maintenance window and the trial.

use std::collections::BTreeSet;

use casemate_protocol::bundle::terms::{CONTROL_PLANE, Terms};
use casemate_protocol::bundle::window::Window;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::evidence::receipt::ClockQuality;

use super::effect::Effect;
use super::event::Report;
use super::state::{Failed, Generation, State};
use super::step::{Step, back_to, committed, undone};
use crate::time::{Moment, Now};

/// Runs of the machine in which one generation may be on trial. A generation that makes the machine restart must not
/// do so for ever.
pub const MAX_BOOTS: u32 = 3;

/// A generation on trial.
struct Trial {
    before: Option<Generation>,
    next: Generation,
    terms: Terms,
    since: Moment,
    boots: u32,
    ready: BTreeSet<Name>,
}

impl From<Trial> for State {
    fn from(trial: Trial) -> Self {
        let Trial { before, next, terms, since, boots, ready } = trial;
        Self::Probation { before, next, terms, since, boots, ready }
    }
}

impl Trial {
    /// Undoes it, and remembers that this content is not to be tried again.
    fn fail(self, code: Code, consumer: Option<Name>, reason: Option<Name>) -> Step {
        let failed = Failed { version: self.next.version, manifest: self.next.manifest, code, consumer, reason };
        undone(self.before, self.next, code, Some(failed))
    }

    /// What time alone decides, before anything else counts: still on trial, or failed.
    fn on_time(self, now: &Now) -> Result<Self, Box<Step>> {
        match self.since.seconds_until(&now.moment) {
            None if self.boots >= MAX_BOOTS => Err(Box::new(self.fail(Code::ProbationInterrupted, None, None))),
            // The consumers were started anew too: they are asked again, with the whole time before them.
            None => Ok(Self { boots: self.boots + 1, since: now.moment, ready: BTreeSet::new(), ..self }),
            Some(passed) if passed < self.terms.deadline_seconds => Ok(self),
            Some(_) => {
                let mut missing = self.terms.awaited.difference(&self.ready);
                let silent = missing.clone().find(|name| name.as_str() != CONTROL_PLANE).cloned();
                let code = match (&silent, missing.next()) {
                    (Some(_), _) => Code::ConsumerSilent,
                    (None, Some(_)) => Code::ControlPlaneUnreached,
                    (None, None) => Code::ProbeFailed,
                };
                Err(Box::new(self.fail(code, silent, None)))
            }
        }
    }

    fn ready(mut self, consumer: &Name) -> Step {
        self.ready.insert(consumer.clone());
        if self.everybody_is_ready() && self.terms.hold_seconds.is_none() {
            return committed(self.before, self.next);
        }
        Step::quiet(self.into())
    }

    fn everybody_is_ready(&self) -> bool {
        self.terms.awaited.is_subset(&self.ready)
    }
}

/// The trial of generation `number`, if that is what `state` is about.
fn trial(state: State, number: u64) -> Result<Trial, Box<State>> {
    match state {
        State::Probation { before, next, terms, since, boots, ready } if next.number == number => {
            Ok(Trial { before, next, terms, since, boots, ready })
        }
        other => Err(Box::new(other)),
    }
}

pub(super) fn tick(state: State, now: &Now) -> Step {
    match state {
        State::Waiting { before, next, terms, since } => {
            if terms.window.is_some_and(|window| closed_for_seconds(&window, &since, now) > 0) {
                return Step::quiet(State::Waiting { before, next, terms, since });
            }
            let effect = Effect::Switch(next.clone());
            Step::quiet(State::Switching { before, next, terms }).then(effect)
        }
        State::Probation { before, next, terms, since, boots, ready } => {
            let trial = Trial { before, next, terms, since, boots, ready };
            trial.on_time(now).map_or_else(|failed| *failed, |trial| Step::quiet(trial.into()))
        }
        other => Step::quiet(other),
    }
}

/// How long the window stays closed. An appliance that does not know the time waits by its uptime, as long as the
/// window can at most be away; a restart of the machine is an interruption already, and a better moment than any.
fn closed_for_seconds(window: &Window, since: &Moment, now: &Now) -> u64 {
    match (now.clock, since.seconds_until(&now.moment)) {
        (ClockQuality::Plausible, _) => window.opens_in_seconds(now.wall),
        (ClockQuality::Untrusted, Some(waited)) => window.longest_wait_seconds().saturating_sub(waited),
        (ClockQuality::Untrusted, None) => 0,
    }
}

/// Seconds until a tick changes something; `None` if none ever does. A clock that is set may bring it nearer: ask
/// again from time to time.
#[must_use]
pub fn due_in_seconds(state: &State, now: &Now) -> Option<u64> {
    match state {
        State::Waiting { terms, since, .. } => {
            Some(terms.window.map_or(0, |window| closed_for_seconds(&window, since, now)))
        }
        State::Probation { terms, since, .. } => {
            let passed = since.seconds_until(&now.moment);
            Some(passed.map_or(0, |passed| terms.deadline_seconds.saturating_sub(passed)))
        }
        _ => None,
    }
}

pub(super) fn reported(state: State, number: u64, consumer: &Name, report: &Report, now: &Now) -> Step {
    match (trial(state, number), report) {
        (Err(other), _) => Step::quiet(*other),
        (Ok(trial), _) if !trial.terms.awaited.contains(consumer) => Step::quiet(trial.into()),
        // Says more than the time does, however late it comes.
        (Ok(trial), Report::Failed { reason }) => {
            trial.fail(Code::ConsumerFailed, Some(consumer.clone()), reason.clone())
        }
        (Ok(trial), Report::Ready) => trial.on_time(now).map_or_else(|failed| *failed, |trial| trial.ready(consumer)),
    }
}

pub(super) fn held(state: State, number: u64, now: &Now) -> Step {
    let trial = match trial(state, number) {
        Ok(trial) => trial.on_time(now),
        Err(other) => return Step::quiet(*other),
    };
    match trial {
        Err(failed) => *failed,
        Ok(trial) if trial.everybody_is_ready() && trial.terms.hold_seconds.is_some() => {
            committed(trial.before, trial.next)
        }
        Ok(trial) => Step::quiet(trial.into()),
    }
}

pub(super) fn superseded(state: State) -> Step {
    match state {
        State::Waiting { before, next, .. } => {
            let state = back_to(before.clone(), next.number, None);
            Step::settled(state, Code::Superseded, before.clone(), before).then(Effect::Discard(next))
        }
        State::Probation { before, next, .. } => undone(before, next, Code::Superseded, None),
        other => Step::quiet(other),
    }
}
