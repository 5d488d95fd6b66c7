//! How the boundary moves: with a bundle, with the peers a trial reaches, with time.

use casemate_engine::boundary::{self, Effect, Event, Offer, Settlement, State, Step};
use casemate_protocol::boundary::Policy;
use casemate_protocol::boundary::offer::{self, Contents};
use casemate_protocol::bundle::appraisal::{SignedBoundary, Verdict};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::BoundaryOutcome;
use casemate_protocol::tuf::role::Version;

use crate::exit::Failure;
use crate::local_api::answer::BoundaryImport;
use crate::runtime::keeper::Keeper;
use crate::store::{BoundaryDocuments, BoundaryMoved, BoundaryStanding, Record};

/// What a bundle does to the boundary.
#[derive(Debug, Default)]
pub(in crate::runtime) struct BoundaryStep {
    /// To be recorded with the acceptance.
    pub(in crate::runtime) record: Option<Record>,
    /// What the receipt says of it, if that is final.
    pub(in crate::runtime) outcome: Option<BoundaryOutcome>,
}

impl Keeper {
    fn standing_boundary(&self) -> Option<&BoundaryStanding> {
        self.store.state().boundary.as_deref()
    }

    pub(in crate::runtime) fn is_boundary_on_trial(&self) -> bool {
        self.standing_boundary().is_some_and(|standing| standing.state.is_on_trial())
    }

    /// What is in force of `own`, which is what the agent leaves of a signed boundary.
    pub(super) fn enforced(&self, own: &Policy) -> Policy {
        casemate_protocol::boundary::in_force(own, None, self.site.as_ref())
    }

    /// What the agent leaves of the signed boundary now.
    pub(super) fn own_policy(&self) -> Policy {
        self.standing_boundary().map(|standing| standing.state.in_force().into_owned()).unwrap_or_default()
    }

    /// What is in force now.
    pub(in crate::runtime) fn policy_in_force(&self) -> Policy {
        self.enforced(&self.own_policy())
    }

    /// What would be in force if the boundary of `verdict` were.
    pub(in crate::runtime) fn policy_with(&self, verdict: &Verdict) -> Policy {
        match &verdict.addressee.boundary.outcome {
            Ok(signed) => self.enforced(&signed.policy_after(&self.own_policy())),
            Err(_) => self.policy_in_force(),
        }
    }

    /// What `verdict` does to the boundary. A boundary that is refused leaves it as it is, and the receipt says why.
    pub(in crate::runtime) fn boundary_step(&self, verdict: &Verdict) -> Result<BoundaryStep, Failure> {
        let signed = match &verdict.addressee.boundary.outcome {
            Ok(signed) => signed,
            Err(refusal) => {
                let (code, now) = (refusal.code(), Some(self.policy_in_force().digest()));
                tracing::warn!(%code, error = %refusal, "the boundary is refused; what was in force stays");
                let outcome = Some(BoundaryOutcome { code, before: now, after: now });
                return Ok(BoundaryStep { record: None, outcome });
            }
        };
        let standing = self.standing_boundary();
        if signed.papers.is_none() && standing.is_none() {
            return Ok(BoundaryStep::default());
        }
        let state = standing.map(|standing| standing.state.clone()).unwrap_or_default();
        let event = Event::Signed(Box::new(self.signed_offer(verdict, signed)));
        let step = boundary::step(state.clone(), &event, &self.now());
        let documents = signed
            .papers
            .as_ref()
            .map(|papers| BoundaryDocuments { boundary: papers.digest, envelope: papers.envelope });
        let offer = self.enforcers_offer(verdict)?;
        let moved = self.moved(&state, step, documents, offer);
        let outcome = moved.outcome;
        Ok(BoundaryStep { record: Some(Record::Boundary(Box::new(moved))), outcome })
    }

    /// What [`Self::boundary_step`] would come to now; none if nothing about the boundary changes. Nothing is kept.
    pub(in crate::runtime) fn foresee_boundary(&self, verdict: &Verdict) -> Option<BoundaryImport> {
        let signed = match &verdict.addressee.boundary.outcome {
            Ok(signed) => signed,
            Err(refusal) => {
                let now = Some(self.policy_in_force().digest());
                return Some(BoundaryOutcome { code: refusal.code(), before: now, after: now }.into());
            }
        };
        if !self.brings_boundary(verdict) {
            return None;
        }
        let state = self.standing_boundary().map(|standing| standing.state.clone()).unwrap_or_default();
        let event = Event::Signed(Box::new(self.signed_offer(verdict, signed)));
        let step = boundary::step(state.clone(), &event, &self.now());
        let moved = self.moved(&state, step, None, Digest::of(b""));
        let changes = moved.changes.into_iter().map(Into::into).collect();
        Some(BoundaryImport { code: moved.code, before: Some(moved.before), after: Some(moved.after), changes })
    }

    /// What the bundle under way has done to the boundary so far; none if it is none of its business.
    pub(in crate::runtime) fn boundary_import(&self) -> Option<BoundaryImport> {
        let on_trial = self.standing_boundary().filter(|standing| standing.state.is_on_trial()).map(|standing| {
            let digest = |policy: &Policy| Some(self.enforced(policy).digest());
            let (before, after) = (digest(&standing.state.holds()), digest(&standing.state.in_force()));
            BoundaryOutcome { code: Code::Probation, before, after }
        });
        let settled = || self.store.state().bundle.as_ref().and_then(|bundle| bundle.boundary);
        on_trial.or_else(settled).map(Into::into)
    }

    /// Whether `verdict` has a boundary to give that does not stand here yet.
    pub(in crate::runtime) fn brings_boundary(&self, verdict: &Verdict) -> bool {
        let Ok(signed) = &verdict.addressee.boundary.outcome else { return false };
        match self.standing_boundary() {
            None => signed.papers.is_some(),
            Some(standing) => {
                let offer = self.signed_offer(verdict, signed);
                !standing.state.signed().is_some_and(|known| known.is(&offer))
            }
        }
    }

    /// Why the boundary of a bundle that is here again is not what is in force, if it is not.
    pub(in crate::runtime) fn boundary_again(&self, verdict: &Verdict) -> Option<Code> {
        let fell_back =
            || matches!(self.standing_boundary()?.state, State::FellBack { .. }).then_some(Code::FailedBefore);
        verdict.addressee.boundary.outcome.as_ref().map_or_else(|refusal| Some(refusal.code()), |_| fell_back())
    }

    /// What the receipt of the bundle that is superseded says of its boundary, if that is still on trial.
    pub(in crate::runtime) fn superseded_trial(&self) -> Option<BoundaryOutcome> {
        let standing = self.standing_boundary().filter(|standing| standing.state.is_on_trial())?;
        let before = Some(self.enforced(&standing.state.holds()).digest());
        let after = Some(self.enforced(&standing.state.in_force()).digest());
        Some(BoundaryOutcome { code: Code::Superseded, before, after })
    }

    /// Has something happen to the boundary, and writes the receipt if that was the last thing missing.
    pub(in crate::runtime) fn boundary_event(&mut self, event: &Event) -> Result<(), Failure> {
        let Some(standing) = self.standing_boundary().cloned() else { return Ok(()) };
        self.writable()?;
        let step = boundary::step(standing.state.clone(), event, &self.now());
        if step.state == standing.state {
            return Ok(());
        }
        let moved = self.moved(&standing.state, step, standing.documents, standing.offer);
        if moved.code == Code::BoundaryUnreached {
            tracing::warn!(code = %moved.code, digest = %moved.after, "a required peer was not reached");
        }
        self.commit(&[Record::Boundary(Box::new(moved))])?;
        self.conclude()?;
        Ok(())
    }

    fn signed_offer(&self, verdict: &Verdict, signed: &SignedBoundary) -> Offer {
        let version = verdict.addressee.boundary.version.map(Version::get);
        let version = version.filter(|_| signed.papers.is_some());
        Offer::new(signed.name().cloned(), version, signed.policy_after(&self.own_policy()), self.site.as_ref())
    }

    /// What the host's enforcer is shown of `verdict`, kept as an object.
    fn enforcers_offer(&self, verdict: &Verdict) -> Result<Digest, Failure> {
        let objects = self.store.objects();
        let known = self.store.state().roots.values();
        let mut roots = known.map(|root| objects.read(root)).collect::<Result<Vec<_>, _>>()?;
        // A chain that was accepted with an earlier bundle comes again in full.
        let news = verdict.trust.roots.iter().filter(|root| !roots.contains(root)).cloned().collect::<Vec<_>>();
        roots.extend(news);
        let contents = Contents::of(verdict, &roots);
        let raw = contents.map(|contents| offer::write(&contents)).transpose()?.unwrap_or_default();
        let kept = objects.put(&[&raw])?;
        Ok(kept.first().copied().unwrap_or_else(|| Digest::of(&raw)))
    }

    /// The record of `step` from `before`.
    fn moved(&self, before: &State, step: Step, documents: Option<BoundaryDocuments>, offer: Digest) -> BoundaryMoved {
        let (was, is) = (self.enforced(&before.in_force()), self.enforced(&step.state.in_force()));
        let settled = step.effects.iter().rev().find_map(|effect| match effect {
            Effect::Settle(settlement) if settlement.code != Code::Superseded => Some(settlement.as_ref()),
            _ => None,
        });
        let code = settled.map_or(Code::Probation, |settlement| settlement.code);
        let outcome = settled.filter(|settlement| settlement.code != Code::AlreadyApplied);
        BoundaryMoved {
            state: step.state,
            documents,
            offer,
            code,
            before: was.digest(),
            after: is.digest(),
            changes: was.changes(&is),
            outcome: outcome.map(|settlement| self.outcome_of(settlement)),
        }
    }

    fn outcome_of(&self, settlement: &Settlement) -> BoundaryOutcome {
        let digest = |policy| Some(self.enforced(policy).digest());
        BoundaryOutcome { code: settlement.code, before: digest(&settlement.before), after: digest(&settlement.after) }
    }
}
