//! The step from one situation to the next.

use std::collections::BTreeSet;

use casemate_protocol::boundary::{Change, Policy};
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;

use super::effect::{Effect, Settlement};
use super::event::{Event, Offer};
use super::state::State;
use crate::time::{Moment, Now};

/// How long a wider boundary may take to reach its required peers, in one run of the machine.
pub const TRIAL_SECONDS: u64 = 10 * 60;
/// Runs of the machine in which one boundary may be on trial: one that makes it restart must not do so for ever.
pub const MAX_BOOTS: u32 = 3;

/// What [`step`] decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The situation from now on: journal it before performing `effects`.
    pub state: State,
    /// What comes or goes of the policy in force: journalled with the state.
    pub changes: Vec<Change>,
    /// What to do, in order.
    pub effects: Vec<Effect>,
}

/// Where `state` goes on `event` at `now`, and what has to be done for it.
#[must_use]
pub fn step(state: State, event: &Event, now: &Now) -> Step {
    match event {
        Event::Signed(offer) => signed(state, offer, now),
        Event::Tick => tick(state, now),
        Event::Reached { peer } => {
            let ticked = tick(state, now);
            match ticked.state {
                State::Trial { signed, before, since, boots, reached } if signed.required.contains(peer) => {
                    Trial { signed, before, since, boots, reached }.reached(peer)
                }
                state => Step { state, ..ticked },
            }
        }
    }
}

/// Seconds until a tick changes something; `None` if none ever does.
#[must_use]
pub fn due_in_seconds(state: &State, now: &Now) -> Option<u64> {
    match state {
        State::Trial { since, .. } => {
            let passed = since.seconds_until(&now.moment);
            Some(passed.map_or(0, |passed| TRIAL_SECONDS.saturating_sub(passed)))
        }
        _ => None,
    }
}

fn tick(state: State, now: &Now) -> Step {
    match state {
        State::Trial { signed, before, since, boots, reached } => {
            let trial = Trial { signed, before, since, boots, reached };
            trial.on_time(now).map_or_else(|failed| *failed, |trial| quiet(trial.into()))
        }
        settled => quiet(settled),
    }
}

fn quiet(state: State) -> Step {
    Step { state, changes: Vec::new(), effects: Vec::new() }
}

fn signed(state: State, offer: &Offer, now: &Now) -> Step {
    let force = state.in_force().into_owned();
    if state.signed().is_some_and(|known| known.is(offer)) {
        let code = match &state {
            // The receipt waits for the trial.
            State::Trial { .. } => return tick(state, now),
            State::FellBack { .. } => Code::FailedBefore,
            State::Closed | State::Settled { .. } => Code::AlreadyApplied,
        };
        let effects = vec![settlement(offer, code, force.clone(), force)];
        return Step { state, changes: Vec::new(), effects };
    }
    let holds = state.holds().into_owned();
    let changes = force.changes(&offer.policy);
    let mut effects = Vec::new();
    if let State::Trial { signed, before, .. } = &state {
        effects.push(settlement(signed, Code::Superseded, before.clone(), force.clone()));
    }
    effects.push(Effect::Enforce);
    if offer.required.is_empty() || holds.excess(&offer.policy).is_none() {
        let code = if force == offer.policy { Code::AlreadyApplied } else { Code::Applied };
        effects.push(settlement(offer, code, force, offer.policy.clone()));
        return Step { state: State::Settled { signed: offer.clone() }, changes, effects };
    }
    effects.push(Effect::Reach(offer.required.clone()));
    let (since, boots, reached) = (now.moment, 1, BTreeSet::new());
    Step { state: State::Trial { signed: offer.clone(), before: holds, since, boots, reached }, changes, effects }
}

fn settlement(offer: &Offer, code: Code, before: Policy, after: Policy) -> Effect {
    let Offer { name, version, .. } = offer.clone();
    Effect::Settle(Box::new(Settlement { name, version, code, before, after }))
}

/// A boundary on trial.
struct Trial {
    signed: Offer,
    before: Policy,
    since: Moment,
    boots: u32,
    reached: BTreeSet<Name>,
}

impl From<Trial> for State {
    fn from(trial: Trial) -> Self {
        let Trial { signed, before, since, boots, reached } = trial;
        Self::Trial { signed, before, since, boots, reached }
    }
}

impl Trial {
    /// What time alone decides, before anything else counts: still on trial, or failed.
    fn on_time(self, now: &Now) -> Result<Self, Box<Step>> {
        match self.since.seconds_until(&now.moment) {
            None if self.boots >= MAX_BOOTS => Err(Box::new(self.fail())),
            // What was reached before says nothing about this run: everybody is asked anew, with the whole time.
            None => Ok(Self { boots: self.boots + 1, since: now.moment, reached: BTreeSet::new(), ..self }),
            Some(passed) if passed < TRIAL_SECONDS => Ok(self),
            Some(_) => Err(Box::new(self.fail())),
        }
    }

    fn reached(mut self, peer: &Name) -> Step {
        self.reached.insert(peer.clone());
        if !self.signed.required.is_subset(&self.reached) {
            return quiet(self.into());
        }
        let effects = vec![settlement(&self.signed, Code::Applied, self.before, self.signed.policy.clone())];
        Step { state: State::Settled { signed: self.signed }, changes: Vec::new(), effects }
    }

    /// What both have: what is new is taken back, what the new one took away stays away.
    fn fail(self) -> Step {
        let force = self.signed.policy.intersection(&self.before);
        let changes = self.signed.policy.changes(&force);
        let settle = settlement(&self.signed, Code::BoundaryUnreached, self.before, force.clone());
        Step { state: State::FellBack { signed: self.signed, force }, changes, effects: vec![Effect::Enforce, settle] }
    }
}
