//! From a verdict to committed generations and a receipt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use casemate_engine::update::{self, Offer};
use casemate_protocol::bundle::appraisal::{OwnerVerdict, Trust, Verdict};
use casemate_protocol::canonical;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Owner;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{OwnerOutcome, Subject};
use casemate_protocol::signed::Unverified;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::floors::RootFloor;
use casemate_protocol::tuf::role::{RoleName, Version};

use super::error::RuntimeError;
use super::keeper::Keeper;
use super::ledger::StoreLedger;
use super::receipts::{Draft, driven};
use crate::apply;
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
            count: 1,
        })
    }

    /// Carries out a verdict: trust, floors, assignment and the first step of every owner in one transaction, then
    /// the owners' effects, then the receipt.
    ///
    /// # Durability
    /// Everything the report says, when it returns `Ok`.
    pub(super) fn settle(&mut self, verdict: &Verdict) -> Result<BundleReport, Failure> {
        self.writable()?;
        if let Some(report) = self.replayed(verdict) {
            // A bundle that was seen before may still bring a newer root.
            self.keep_roots(&verdict.trust.roots)?;
            return Ok(report);
        }
        self.adopt(verdict)?;
        let first = self.acceptance(verdict)?;
        let offers = offers(verdict);
        let assigned: BTreeSet<Owner> = verdict.addressee.assignment.owners().into_iter().collect();
        let events = update::plan(&self.store.state().owners, &assigned, &offers).map_err(|error| Failure {
            code: Code::Internal,
            message: error.to_string(),
            causes: Vec::new(),
            remedy: "Restart the agent: it finishes the earlier bundle first.".into(),
        })?;
        let (stamp, now) = (self.stamp(), self.now());
        if events.is_empty() {
            self.store.commit(stamp, &first)?;
        } else {
            let mut ledger = StoreLedger { store: &mut self.store, stamp, first };
            apply::drive(&self.trees, &mut ledger, &now, events).map_err(driven)?;
        }
        let owners = self.store.state().bundle.clone().map(|bundle| bundle.outcomes).unwrap_or_default();
        let receipt = self.close_bundle()?;
        self.collect()?;
        let code = casemate_protocol::evidence::receipt::overall(&owners);
        if code == Code::Applied {
            // Nothing is incomplete any more: parts of bundles that never became whole would stay for ever.
            let deleted = self.store.clear_staging()?;
            tracing::debug!(count = deleted, "staged files nobody waits for");
        }
        Ok(BundleReport {
            file: PathBuf::new(),
            code,
            failure: None,
            timestamp_version: Some(verdict.trust.timestamp.get()),
            owners,
            receipt: Some(receipt),
            diff: Vec::new(),
        })
    }

    /// The report on a bundle that changes nothing: the accepted timestamp and snapshot again, and every owner it
    /// could move stands where it names already. No side effect, the earlier receipt.
    fn replayed(&self, verdict: &Verdict) -> Option<BundleReport> {
        let trust = &verdict.trust;
        let same = self.timestamp_version() == Some(trust.timestamp.get()) && self.snapshot() == Some(trust.snapshot);
        let receipt = self.earlier_receipt(trust.snapshot, None)?;
        let stands = |owner: &Owner, offer: &Offer| {
            self.store.state().owners.get(owner).and_then(update::State::current).is_some_and(|at| offer.is(at))
        };
        if !same || !offers(verdict).iter().all(|(owner, offer)| stands(owner, offer)) {
            return None;
        }
        let refused: Vec<_> = verdict.addressee.owners.iter().filter_map(refused_code).collect();
        let code = refused.into_iter().max_by_key(|code| code.class()).unwrap_or(Code::AlreadyApplied);
        Some(BundleReport {
            file: PathBuf::new(),
            code,
            failure: None,
            timestamp_version: Some(trust.timestamp.get()),
            owners: Vec::new(),
            receipt: Some(receipt),
            diff: Vec::new(),
        })
    }

    /// Takes staged objects over: durable, under their ids.
    fn adopt(&self, verdict: &Verdict) -> Result<(), Failure> {
        let (objects, staging) = (self.store.objects(), self.store.staging());
        let manifests = verdict.addressee.owners.iter().filter_map(|owner| owner.outcome.as_ref().ok());
        let wanted: BTreeMap<Digest, u64> = manifests
            .flat_map(|manifest| manifest.objects.iter().map(|wanted| (wanted.object, wanted.length)))
            .collect();
        let mut staged = Vec::new();
        for (id, length) in wanted {
            if objects.has(&id) {
                continue;
            }
            if length == 0 {
                // An empty file has no parts, so no bundle carries it.
                objects.put(&[b""])?;
            } else {
                staged.push((id, staging.join(id.to_string())));
            }
        }
        Ok(objects.adopt(&staged)?)
    }

    /// What is recorded together with the owners' first step.
    fn acceptance(&self, verdict: &Verdict) -> Result<Vec<Record>, Failure> {
        let Trust { roots, metadata, floors, .. } = &verdict.trust;
        let objects = self.store.objects();
        let mut records = self.root_records(roots)?;
        let mut roles = BTreeMap::new();
        let newest = records.last().and_then(|record| match record {
            Record::Root { digest, .. } => Some(*digest),
            _ => None,
        });
        let root = newest.or_else(|| self.store.state().trust.roles.get(&RoleName::root()).copied());
        roles.insert(RoleName::root(), root.ok_or(RuntimeError::NotEnrolled)?);
        let manifests = verdict.addressee.owners.iter().filter_map(|owner| owner.outcome.as_ref().ok());
        let manifests = manifests.map(|manifest| manifest.raw.as_slice());
        // One call for all: each call flushes the folder.
        let raw: Vec<&[u8]> = metadata.values().map(Vec::as_slice).chain(manifests).collect();
        roles.extend(metadata.keys().cloned().zip(objects.put(&raw)?));
        let root_version = verdict.trust.root_version.get();
        records.push(Record::Accepted(Box::new(Accepted {
            trust: store::Trust { root_version, roles },
            floors: floors.clone(),
            assignment: verdict.addressee.assignment.clone(),
            bundle: OpenBundle {
                timestamp_version: verdict.trust.timestamp.get(),
                snapshot: verdict.trust.snapshot,
                archive: None,
                outcomes: Vec::new(),
            },
        })));
        let state = self.store.state();
        for owner in &verdict.addressee.owners {
            if let Some(code) = refused_code(owner) {
                let current = state.owners.get(&owner.owner).and_then(update::State::current).cloned();
                let id = owner.owner.clone();
                records.push(Record::Outcome(OwnerOutcome { id, code, before: current.clone(), after: current }));
            }
        }
        Ok(records)
    }
}

fn refused_code(owner: &OwnerVerdict) -> Option<Code> {
    owner.outcome.as_ref().err().map(Explain::code)
}

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
