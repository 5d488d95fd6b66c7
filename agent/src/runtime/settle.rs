//! From a verdict to committed generations and a receipt.

use std::collections::{BTreeMap, BTreeSet};

use casemate_engine::update::{self, Event, Offer};
use casemate_protocol::bundle::appraisal::{OwnerManifest, OwnerVerdict, Trust, Verdict};
use casemate_protocol::canonical;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Owner;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{BoundaryOutcome, OwnerOutcome, Subject, Transport};
use casemate_protocol::signed::Unverified;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::floors::RootFloor;
use casemate_protocol::tuf::role::{RoleName, Version};

use super::duties::unfinished;
use super::error::RuntimeError;
use super::keeper::Keeper;
use super::queue::is_of_a_person;
use super::receipts::{Draft, draft};
use crate::exit::Failure;
use crate::local_api::answer::BundleReport;
use crate::store::{self, Accepted, OpenBundle, Record};

impl Keeper {
    /// What the TUF client stands on. A root that cannot be read is damage, never "no root"; any other document that
    /// cannot be read is asked for again.
    pub(super) fn stored(&self) -> Result<Stored, Failure> {
        let state = self.store.state();
        let objects = self.store.objects();
        let enrolled = self.confirmed()?;
        let root = state.trust.roles.get(&RoleName::root()).copied().unwrap_or(enrolled.root);
        // Owners' roles come with every bundle that addresses them; only the top-level ones save a question.
        let kept = [RoleName::timestamp(), RoleName::snapshot(), RoleName::targets()];
        let kept = state.trust.roles.iter().filter(|(role, _)| kept.contains(role));
        let cached = kept.filter_map(|(role, digest)| Some((role.clone(), objects.read(digest).ok()?))).collect();
        let raw = objects.read(&root).map_err(|source| RuntimeError::RootLost { digest: root, source })?;
        Ok(Stored { root: raw, floors: state.floors.floors.clone(), cached })
    }

    /// Keeps new links of the root chain at once, whatever becomes of the bundle that brought them.
    pub(super) fn keep_roots(&mut self, roots: &[Vec<u8>]) -> Result<(), Failure> {
        let records = self.root_records(roots)?;
        if !records.is_empty() {
            self.commit(&records)?;
        }
        Ok(())
    }

    fn root_records(&self, roots: &[Vec<u8>]) -> Result<Vec<Record>, Failure> {
        if roots.is_empty() {
            return Ok(Vec::new());
        }
        let raw: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
        let digests = self.store.objects().put(&raw)?;
        let floors = roots.iter().filter_map(|root| root_floor(root));
        let known = self.store.state().trust.root_version;
        let records = digests.into_iter().zip(floors).map(|(digest, floor)| Record::Root { digest, floor });
        Ok(records
            .filter(|record| matches!(record, Record::Root { floor, .. } if floor.version.get() > known))
            .collect())
    }

    /// A refused bundle whose snapshot verified: its receipt, the earlier one if it was refused so before.
    pub(super) fn refused_snapshot(
        &mut self,
        code: Code,
        timestamp: Version,
        snapshot: Digest,
        transport: Transport,
    ) -> Result<u64, Failure> {
        if let Some(sequence) = self.earlier_receipt(snapshot, Some(code)) {
            return Ok(sequence);
        }
        self.write_receipt(Draft {
            subject: Subject::snapshot(timestamp, snapshot),
            digest: snapshot,
            timestamp_version: Some(timestamp.get()),
            archive: None,
            code,
            owners: Vec::new(),
            boundary: None,
            transport: Some(transport),
            count: 1,
        })
    }

    /// Carries out a verdict: trust, floors, assignment and the first step of every owner in one transaction, then
    /// the owners' effects, then the receipt, unless an owner has to wait for its window or for confirmation.
    ///
    /// # Durability
    /// Everything the report says, when it returns `Ok`.
    pub(super) fn settle(&mut self, verdict: &Verdict, transport: Transport) -> Result<BundleReport, Failure> {
        self.writable()?;
        self.tick()?;
        if let Some(report) = self.replayed(verdict) {
            // A bundle that was seen before may still bring a newer root.
            self.keep_roots(&verdict.trust.roots)?;
            return Ok(report);
        }
        self.keep(verdict)?;
        let boundary = self.boundary_step(verdict)?;
        let accepted = self.acceptance(verdict, boundary.outcome, transport)?;
        let mut offers = self.offers_here(verdict);
        let assigned: BTreeSet<Owner> = verdict.addressee.assignment.owners().into_iter().collect();
        let carried = self.supersede(&offers)?;
        let mut first = self.closing(&carried)?;
        first.extend(accepted);
        first.extend(boundary.record);
        first.extend(self.refusals_of(verdict));
        offers.retain(|owner, _| !carried.contains(owner));
        let mut states = self.store.state().owners.clone();
        states.retain(|owner, _| !carried.contains(owner));
        let events = update::plan(&states, &assigned, &offers).map_err(|error| Failure {
            code: Code::Internal,
            message: error.to_string(),
            causes: Vec::new(),
            remedy: "Restart the agent: it finishes the earlier bundle first.".into(),
        })?;
        self.drive(first, events)?;
        let report = self.standing_report(&verdict.trust);
        let receipt = self.conclude()?;
        let awaited = self.gave_way && is_of_a_person(transport);
        if !awaited && matches!(report.code, Code::Applied | Code::Probation | Code::Waiting) {
            self.gave_way = false;
            // Nothing is incomplete any more: parts of bundles that never became whole would stay for ever.
            let count = self.store.clear_staging()?;
            tracing::debug!(count, "staged files nobody waits for");
        }
        Ok(BundleReport { receipt, ..report })
    }

    /// Ends what waits or is on trial, but for what the newer bundle offers again: those owners are returned, and
    /// carry on as part of it.
    fn supersede(&mut self, offers: &BTreeMap<Owner, Offer>) -> Result<BTreeSet<Owner>, Failure> {
        let (mut carried, mut events) = (BTreeSet::new(), Vec::new());
        for (owner, state) in &self.store.state().owners {
            let Some((_, _, next)) = unfinished(state) else { continue };
            if offers.get(owner).is_some_and(|offer| offer.is(next)) {
                carried.insert(owner.clone());
            } else {
                events.push((owner.clone(), Event::Superseded));
            }
        }
        self.drive(Vec::new(), events)?;
        Ok(carried)
    }

    /// The records that close the open bundle, if there is one, because a newer one is here. What became of `carried`
    /// stands in that one's receipt.
    fn closing(&self, carried: &BTreeSet<Owner>) -> Result<Vec<Record>, Failure> {
        let state = self.store.state();
        let Some(mut bundle) = state.bundle.clone() else { return Ok(Vec::new()) };
        let outcomes = carried.iter().filter_map(|owner| {
            let (_, before, _) = unfinished(state.owners.get(owner)?)?;
            let (before, after) = (before.cloned(), before.cloned());
            Some(OwnerOutcome { id: owner.clone(), code: Code::Superseded, before, after })
        });
        let outcomes: Vec<_> = outcomes.collect();
        bundle.outcomes.extend(outcomes.iter().cloned());
        bundle.boundary = bundle.boundary.or_else(|| self.superseded_trial());
        let receipt = self.sign_receipt(draft(bundle))?;
        Ok(outcomes.into_iter().map(Record::Outcome).chain([receipt]).collect())
    }

    /// Keeps what the verdict brought, files and documents: durable, under their ids.
    fn keep(&self, verdict: &Verdict) -> Result<(), Failure> {
        let (objects, staging) = (self.store.objects(), self.store.staging());
        let Trust { roots, metadata, .. } = &verdict.trust;
        let wanted: BTreeMap<Digest, u64> = manifests(verdict)
            .flat_map(|manifest| manifest.objects.iter().map(|wanted| (wanted.object, wanted.length)))
            .collect();
        let lacking = wanted.into_iter().filter(|(id, _)| !objects.has(id));
        let (empty, staged): (Vec<_>, Vec<_>) = lacking.partition(|(_, length)| *length == 0);
        let staged: Vec<_> = staged.into_iter().map(|(id, _)| (id, staging.join(id.to_string()))).collect();
        let documents = roots.iter().chain(metadata.values()).map(Vec::as_slice);
        let documents = documents.chain(manifests(verdict).map(|manifest| manifest.raw.as_slice()));
        // An empty file has no parts, so no bundle carries it.
        let documents: Vec<&[u8]> = documents.chain(empty.iter().map(|_| &b""[..])).collect();
        // One call for all: each flushes the folder.
        objects.take_over(&staged, &documents)?;
        Ok(())
    }

    /// What is recorded together with the owners' first step; all it names was kept.
    fn acceptance(
        &self,
        verdict: &Verdict,
        boundary: Option<BoundaryOutcome>,
        transport: Transport,
    ) -> Result<Vec<Record>, Failure> {
        let Trust { roots, metadata, floors, .. } = &verdict.trust;
        let mut records = self.root_records(roots)?;
        let newest = records.last().and_then(|record| match record {
            Record::Root { digest, .. } => Some(*digest),
            _ => None,
        });
        let root = newest.or_else(|| self.store.state().trust.roles.get(&RoleName::root()).copied());
        let root = root.ok_or(RuntimeError::NotEnrolled)?;
        let metadata = metadata.iter().map(|(role, raw)| (role.clone(), Digest::of(raw)));
        let roles = metadata.chain([(RoleName::root(), root)]).collect();
        let root_version = verdict.trust.root_version.get();
        records.push(Record::Accepted(Box::new(Accepted {
            trust: store::Trust { root_version, roles },
            floors: floors.clone(),
            assignment: verdict.addressee.assignment.clone(),
            bundle: OpenBundle {
                timestamp_version: verdict.trust.timestamp.get(),
                snapshot: verdict.trust.snapshot,
                archive: None,
                transport: Some(transport),
                outcomes: Vec::new(),
                boundary,
            },
            transport: self.transport_to_keep(&verdict.addressee.assignment),
        })));
        Ok(records)
    }

    /// What a verdict offers that can be carried out here.
    pub(super) fn offers_here(&self, verdict: &Verdict) -> BTreeMap<Owner, Offer> {
        let mut offers = offers(verdict);
        for owner in verdict.addressee.owners.iter().filter(|owner| self.refused_here(verdict, owner).is_some()) {
            offers.remove(&owner.owner);
        }
        offers
    }

    /// The outcomes of owners that are refused by themselves: what they run stays.
    fn refusals_of(&self, verdict: &Verdict) -> Vec<Record> {
        let state = self.store.state();
        let refused = verdict.addressee.owners.iter().filter_map(|owner| {
            let current = state.owners.get(&owner.owner).and_then(update::State::current).cloned();
            let (id, code) = (owner.owner.clone(), self.refused_here(verdict, owner)?);
            Some(Record::Outcome(OwnerOutcome { id, code, before: current.clone(), after: current }))
        });
        refused.collect()
    }
}

/// The manifests that can be acted on.
fn manifests(verdict: &Verdict) -> impl Iterator<Item = &OwnerManifest> {
    verdict.addressee.owners.iter().filter_map(|owner| owner.outcome.as_ref().ok())
}

pub(super) fn refused_code(owner: &OwnerVerdict) -> Option<Code> {
    owner.outcome.as_ref().err().map(Explain::code)
}

/// What a verdict offers, owner by owner.
fn offers(verdict: &Verdict) -> BTreeMap<Owner, Offer> {
    let owners = verdict.addressee.owners.iter();
    owners
        .filter_map(|owner| {
            let manifest = owner.outcome.as_ref().ok()?;
            let version = owner.version?.get();
            let offer = Offer { version, manifest: manifest.digest, terms: manifest.terms.clone() };
            Some((owner.owner.clone(), offer))
        })
        .collect()
}

/// The floor of a root that the TUF client has verified.
fn root_floor(raw: &[u8]) -> Option<RootFloor> {
    let document = Unverified::parse(raw).ok()?;
    let content = Digest::of(&canonical::encode(document.signed()));
    let version = serde_json::from_value(document.signed().get("version")?.clone()).ok()?;
    Some(RootFloor { version, content })
}
