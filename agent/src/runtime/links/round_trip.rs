//! What waits for a round trip with the control plane.

use std::collections::BTreeMap;

use casemate_engine::update::{Event, Report, State};
use casemate_protocol::boundary::{Policy, Purpose};
use casemate_protocol::bundle::appraisal::{OwnerVerdict, Verdict};
use casemate_protocol::bundle::terms::CONTROL_PLANE;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::{Name, Owner};
use tokio::time::Instant;

use crate::exit::Failure;
use crate::runtime::keeper::Keeper;
use crate::runtime::settle::refused_code;

/// Generations on trial that wait for the control plane, and since when in this process. The wall clock has no say in
/// it, and a process that starts anew waits anew.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Expectations(BTreeMap<(Owner, u64), Instant>);

impl Expectations {
    /// What waited already when a request was sent at `began`: its answer says nothing of what began to wait since.
    fn served(&self, began: Instant) -> Vec<(Owner, u64)> {
        let served = self.0.iter().filter(|(_, since)| **since <= began);
        served.map(|(waiting, _)| waiting.clone()).collect()
    }
}

/// Whether an answer of such a peer says that the control plane is reached.
fn speaks_for_control_plane(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::ControlPlane | Purpose::Repository | Purpose::Broker)
}

fn has_way(policy: &Policy) -> bool {
    policy.peers.iter().any(|peer| speaks_for_control_plane(peer.purpose))
}

/// Does it for all, whatever becomes of one; the first failure is the answer.
fn each<T>(all: &[T], mut one: impl FnMut(&T) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for next in all {
        outcome = outcome.and(one(next));
    }
    outcome
}

impl Keeper {
    /// A peer with a pinned key has answered a request that was sent at `began`: what has waited before that waits no
    /// longer.
    pub(super) fn round_trip(&mut self, peer: &Name, began: Instant) -> Result<(), Failure> {
        self.answered(peer);
        let policy = self.door.policy();
        let speaks =
            |known: &casemate_protocol::boundary::Peer| known.id == *peer && speaks_for_control_plane(known.purpose);
        let Ok(consumer) = CONTROL_PLANE.parse::<Name>() else { return Ok(()) };
        if !policy.peers.iter().any(speaks) {
            return Ok(());
        }
        each(&self.expectations.served(began), |(owner, number)| {
            tracing::info!(%owner, generation = number, %peer, "the control plane is reached");
            let event = Event::Reported { number: *number, consumer: consumer.clone(), report: Report::Ready };
            self.event(owner, event)?;
            self.expectations.0.remove(&(owner.clone(), *number));
            Ok(())
        })
    }

    /// Whether something has begun to wait for a round trip since this was asked last.
    pub(super) fn awaits_round_trip(&mut self) -> bool {
        let waiting =
            |state: &State| state.awaited().iter().any(|name| name.as_str() == CONTROL_PLANE).then(|| state.last());
        let owners = self.store.state().owners.iter();
        let now: Vec<(Owner, u64)> =
            owners.filter_map(|(owner, state)| Some((owner.clone(), waiting(state)?))).collect();
        let known = &mut self.expectations.0;
        known.retain(|waiting, _| now.contains(waiting));
        let before = known.len();
        for waiting in now {
            known.entry(waiting).or_insert_with(Instant::now);
        }
        known.len() > before
    }

    /// Why `owner`'s part of `verdict` is not taken here, if it is not: refused by itself, or nobody in the boundary
    /// could ever confirm it.
    pub(in crate::runtime) fn refused_here(&self, verdict: &Verdict, owner: &OwnerVerdict) -> Option<Code> {
        refused_code(owner).or_else(|| {
            let manifest = owner.outcome.as_ref().ok()?;
            let stranded = manifest.terms.awaits_control_plane() && !has_way(&self.policy_with(verdict));
            stranded.then_some(Code::UnsupportedManifest)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_to_what_was_asked_before_the_switch_confirms_nothing() {
        let asked = Instant::now();
        let switched = asked + Duration::from_secs(1);
        let waiting = ("group.clinics".parse::<Owner>().unwrap(), 2);
        let expectations = Expectations(BTreeMap::from([(waiting.clone(), switched)]));
        assert_eq!(expectations.served(asked), []);
        assert_eq!(expectations.served(switched), [waiting]);
    }

    #[test]
    fn one_that_fails_stops_no_other() {
        let mut done = Vec::new();
        let outcome = each(&[1, 2, 3], |number| {
            done.push(*number);
            let message = format!("{number} fails");
            let failure = Failure { code: Code::Internal, message, causes: Vec::new(), remedy: String::new() };
            if *number == 3 { Ok(()) } else { Err(failure) }
        });
        assert_eq!(done, [1, 2, 3]);
        assert_eq!(outcome.unwrap_err().message, "1 fails");
    }
}
