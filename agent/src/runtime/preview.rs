//! What a bundle would do.

use std::collections::BTreeSet;

use casemate_engine::update::{self, Effect, Event, Generation, Offer, State, step};
use casemate_protocol::bundle::appraisal::Verdict;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Owner;
use casemate_protocol::evidence::receipt::{BoundaryOutcome, OwnerOutcome, overall_with};

use super::composed::settled_generation;
use super::duties::unfinished;
use super::keeper::Keeper;
use super::standing::blank;
use crate::exit::Failure;
use crate::local_api::answer::BundleReport;

impl Keeper {
    /// What [`Self::settle`] would make of `verdict` now. Nothing changes.
    pub(super) fn preview(&self, verdict: &Verdict) -> Result<BundleReport, Failure> {
        let offers = self.offers_here(verdict);
        let (mut owners, mut diff) = (Vec::new(), Vec::new());
        for owner in &verdict.addressee.owners {
            let state = self.store.state().owners.get(&owner.owner).cloned().unwrap_or_default();
            let before = settled_generation(&state).cloned();
            if let Some(code) = self.refused_here(verdict, owner) {
                owners.push(OwnerOutcome { id: owner.owner.clone(), code, before: before.clone(), after: before });
                continue;
            }
            let (Some(offer), Ok(manifest)) = (offers.get(&owner.owner), &owner.outcome) else { continue };
            let (code, after) = self.foresee(&owner.owner, &state, offer);
            if let Some(to) = after.as_ref().filter(|_| before != after) {
                diff.push(self.difference_to(&owner.owner, &manifest.manifest, to)?);
            }
            owners.push(OwnerOutcome { id: owner.owner.clone(), code, before, after });
        }
        let assigned = verdict.addressee.assignment.owners();
        let leaving = self
            .store
            .state()
            .owners
            .iter()
            .filter(|(id, state)| !assigned.contains(id) && settled_generation(state).is_some());
        owners.extend(leaving.map(|(id, state)| {
            let before = settled_generation(state).cloned();
            OwnerOutcome { id: id.clone(), code: Code::Removed, before, after: None }
        }));
        let boundary = self.foresee_boundary(verdict);
        let outcome = boundary.as_ref().map(|boundary| BoundaryOutcome {
            code: boundary.code,
            before: boundary.before,
            after: boundary.after,
        });
        let begun: BTreeSet<_> = owners.iter().map(|owner| owner.code).chain(outcome.map(|seen| seen.code)).collect();
        let between = [Code::Probation, Code::Waiting].into_iter().find(|code| begun.contains(code));
        let code = between.unwrap_or_else(|| overall_with(&owners, outcome.as_ref()));
        Ok(BundleReport { owners, boundary, diff, ..blank(code, &verdict.trust) })
    }

    /// How the owner's part would begin, and what it would lead to if nothing fails.
    fn foresee(&self, owner: &Owner, state: &State, offer: &Offer) -> (Code, Option<Generation>) {
        let now = self.now();
        let mut state = state.clone();
        if let Some((code, _, next)) = unfinished(&state) {
            if offer.is(next) {
                return (code, Some(next.clone()));
            }
            state = ended(&state);
        }
        let Ok(offered) = step(state, &Event::Offered(offer.clone()), &now) else {
            tracing::debug!(%owner, "an owner is busy");
            return (Code::Internal, None);
        };
        let settlement = offered.effects.iter().find_map(|effect| match effect {
            Effect::Settle(settlement) => Some((settlement.code, settlement.after.clone())),
            _ => None,
        });
        if let Some(settled) = settlement {
            return settled;
        }
        let number = offered.state.last();
        let next = Generation { number, version: offer.version, manifest: offer.manifest };
        let staged = step(offered.state, &Event::Staged { number }, &now).map(|staged| staged.state);
        let code = match staged {
            Ok(State::Waiting { .. }) => Code::Waiting,
            _ if offer.terms.is_gated() => Code::Probation,
            _ => Code::Applied,
        };
        (code, Some(next))
    }
}

/// Where an owner stands once what is under way was superseded.
fn ended(state: &update::State) -> State {
    match (settled_generation(state).cloned(), state.last()) {
        (Some(current), last) => State::Committed { current, previous: None, last, failed: None },
        (None, last) => State::Idle { last, failed: None },
    }
}
