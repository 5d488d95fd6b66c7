//! Where a bundle stands: under way, final, or here again.

use std::path::PathBuf;

use casemate_engine::update::{self, Offer, State};
use casemate_protocol::bundle::appraisal::{Trust, Verdict};
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Owner;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{self, OwnerOutcome};

use super::duties::unfinished;
use super::keeper::Keeper;
use crate::exit::Failure;
use crate::local_api::answer::BundleReport;

/// Where an owner stands toward content it is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It runs it, or is about to.
    There,
    /// It tried it, and it failed.
    Failed,
    /// It has not seen it.
    Elsewhere,
}

impl Keeper {
    fn standing(&self, owner: &Owner, offer: &Offer) -> Standing {
        let Some(state) = self.store.state().owners.get(owner) else { return Standing::Elsewhere };
        let is_there = |generation: &update::Generation| offer.is(generation);
        if unfinished(state).map_or_else(|| state.current(), |(_, _, next)| Some(next)).is_some_and(is_there) {
            return Standing::There;
        }
        if state.failed().is_some_and(|failed| offer.is_known_to_fail(failed)) {
            return Standing::Failed;
        }
        Standing::Elsewhere
    }

    /// The report on a bundle that changes nothing: the accepted timestamp and snapshot again, and every owner it
    /// could move stands where it names, is on its way there, or has tried it and failed. No side effect, and the
    /// earlier receipt if there is one.
    pub(super) fn replayed(&self, verdict: &Verdict) -> Option<BundleReport> {
        let trust = &verdict.trust;
        if self.timestamp_version() != Some(trust.timestamp.get()) || self.snapshot() != Some(trust.snapshot) {
            return None;
        }
        let offers = self.offers_here(verdict);
        let standings: Vec<_> = offers.iter().map(|(owner, offer)| (owner, self.standing(owner, offer))).collect();
        if standings.iter().any(|(_, standing)| *standing == Standing::Elsewhere) || self.brings_boundary(verdict) {
            return None;
        }
        if self.store.state().bundle.as_ref().is_some_and(|bundle| bundle.snapshot == trust.snapshot) {
            return Some(self.standing_report(trust));
        }
        let receipt = self.earlier_receipt(trust.snapshot, None)?;
        let failed = standings.iter().filter(|(_, standing)| *standing == Standing::Failed);
        let owners: Vec<_> = failed
            .map(|(owner, _)| {
                let current = self.store.state().owners.get(*owner).and_then(State::current).cloned();
                OwnerOutcome { id: (*owner).clone(), code: Code::FailedBefore, before: current.clone(), after: current }
            })
            .collect();
        let codes = owners.iter().map(|owner| owner.code);
        let codes = codes.chain(verdict.addressee.owners.iter().filter_map(|owner| self.refused_here(verdict, owner)));
        let codes = codes.chain(self.boundary_again(verdict));
        let code = codes.max_by_key(|code| code.class()).unwrap_or(Code::AlreadyApplied);
        Some(BundleReport { owners, receipt: Some(receipt), ..blank(code, trust) })
    }

    /// The report on the bundle that was just accepted: final if no owner of it is under way any more.
    pub(super) fn standing_report(&self, trust: &Trust) -> BundleReport {
        let owners = self.outcomes();
        let boundary = self.store.state().bundle.as_ref().and_then(|bundle| bundle.boundary);
        let code = self.under_way().unwrap_or_else(|| receipt::overall_with(&owners, boundary.as_ref()));
        BundleReport { owners, boundary: self.boundary_import(), ..blank(code, trust) }
    }

    /// The outcomes of the open bundle so far, and what its other owners wait for.
    fn outcomes(&self) -> Vec<OwnerOutcome> {
        let state = self.store.state();
        let mut owners = state.bundle.clone().map(|bundle| bundle.outcomes).unwrap_or_default();
        owners.extend(state.owners.iter().filter_map(|(owner, machine)| {
            let (code, before, next) = unfinished(machine)?;
            Some(OwnerOutcome { id: owner.clone(), code, before: before.cloned(), after: Some(next.clone()) })
        }));
        owners
    }

    /// The report on the bundle of `snapshot` once nobody is on trial for it any more: what its receipt says, or that
    /// it waits for a window.
    pub(super) fn outcome(&self, snapshot: Digest, report: &BundleReport) -> Result<Option<BundleReport>, Failure> {
        let is_open = self.store.state().bundle.as_ref().is_some_and(|bundle| bundle.snapshot == snapshot);
        if is_open {
            let owners = self.outcomes();
            let code = self.under_way().filter(|code| *code != Code::Probation);
            let boundary = self.boundary_import();
            return Ok(code.map(|code| BundleReport { code, owners, boundary, ..report.clone() }));
        }
        let Some(sequence) = self.earlier_receipt(snapshot, None) else {
            // Taken home, and forgotten by now.
            return Ok(Some(report.clone()));
        };
        let said = self.own_receipt(sequence)?;
        let boundary = said.boundary.map(Into::into);
        let receipt = Some(sequence);
        Ok(Some(BundleReport { code: said.code, owners: said.owners, boundary, receipt, ..report.clone() }))
    }
}

/// A report with nothing but its code.
pub(super) fn blank(code: Code, trust: &Trust) -> BundleReport {
    BundleReport {
        file: PathBuf::new(),
        code,
        failure: None,
        timestamp_version: Some(trust.timestamp.get()),
        owners: Vec::new(),
        boundary: None,
        receipt: None,
        diff: Vec::new(),
    }
}
