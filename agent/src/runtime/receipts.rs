//! Receipts: written when everything about a bundle is final, and what a restart owes.

use std::collections::BTreeSet;

use casemate_engine::boundary;
use casemate_engine::update::State;
use casemate_protocol::bundle::part::object_id;
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{
    BoundaryOutcome, OwnerOutcome, Receipt, Statement, Subject, Transport, overall_with,
};
use casemate_protocol::tuf::role::Version;

use super::error::RuntimeError;
use super::keeper::Keeper;
use super::ledger::{LedgerError, manifest};
use crate::apply::{self, DriveError};
use crate::exit::Failure;
use crate::store::{OpenBundle, OutboxEntry, Record, Refusal};

/// Seconds of the period in which refusals of one code make one receipt.
const PERIOD_SECONDS: u64 = 86_400;

/// What a receipt is to say.
pub(super) struct Draft {
    pub(super) subject: Subject,
    pub(super) digest: Digest,
    pub(super) timestamp_version: Option<u64>,
    pub(super) archive: Option<Digest>,
    pub(super) code: Code,
    pub(super) owners: Vec<OwnerOutcome>,
    pub(super) boundary: Option<BoundaryOutcome>,
    pub(super) transport: Option<Transport>,
    pub(super) count: u64,
}

/// An error of the driver as the operator sees it.
pub(super) fn driven(error: DriveError<LedgerError>) -> Failure {
    match error {
        DriveError::Ledger(source) => source.into(),
        DriveError::Apply { owner, source } => {
            let mut failure = Failure::from(source);
            failure.message = format!("{owner}: {}", failure.message);
            failure
        }
        DriveError::Step { .. } => Failure {
            code: Code::Internal,
            message: error.to_string(),
            causes: Vec::new(),
            remedy: Code::Internal.remedy().into(),
        },
    }
}

impl Keeper {
    /// Does again what was under way when the last run ended, and writes the receipt it owed. What cannot be done now is
    /// tried again later: without a start nothing could be imported either.
    pub(super) fn recover(&mut self) -> Result<(), Failure> {
        let states = self.store.state().owners.clone();
        let (stamp, now) = (self.stamp(), self.now());
        let trees = self.trees.clone();
        let mut ledger = self.ledger(stamp, Vec::new());
        apply::recover(&trees, &mut ledger, &now, &states).map_err(driven)?;
        self.boundary_event(&boundary::Event::Tick)?;
        self.conclude()?;
        Ok(())
    }

    /// Writes the receipt of the open bundle once every owner's part is final; returns its number then.
    ///
    /// # Durability
    /// The receipt is on disk when its number is returned.
    pub(super) fn conclude(&mut self) -> Result<Option<u64>, Failure> {
        let Some(bundle) = self.store.state().bundle.clone().filter(|_| self.is_settled()) else {
            return Ok(None);
        };
        let receipt = self.write_receipt(draft(bundle))?;
        self.untidy = true;
        self.tidy();
        Ok(Some(receipt))
    }

    /// Signs and keeps a receipt; returns its number.
    pub(super) fn write_receipt(&mut self, draft: Draft) -> Result<u64, Failure> {
        let record = self.sign_receipt(draft)?;
        self.commit(&[record])?;
        Ok(self.store.state().receipts)
    }

    /// A signed receipt, kept as an object: the record that makes it count.
    pub(super) fn sign_receipt(&self, draft: Draft) -> Result<Record, Failure> {
        let enrolled = self.confirmed()?;
        let identity = self.identity.as_ref().ok_or(RuntimeError::NotEnrolled)?;
        let (state, stamp) = (self.store.state(), self.stamp());
        let sequence = state.receipts + 1;
        let receipt = Receipt {
            appliance: enrolled.appliance,
            jurisdiction: enrolled.jurisdiction,
            device: enrolled.device,
            sequence,
            code: draft.code,
            owners: draft.owners,
            boundary: draft.boundary,
            count: draft.count,
            archive: draft.archive,
            root_version: state.trust.root_version,
            demo: self.is_demo(),
            time: stamp.wall,
            clock: stamp.clock,
            journal: self.store.position(),
            transport: draft.transport,
        };
        let envelope = identity.seal(&Statement::new(draft.subject, receipt))?;
        self.store.objects().put(&[&envelope])?;
        let entry = OutboxEntry {
            receipt: Digest::of(&envelope),
            code: draft.code,
            subject: draft.digest,
            timestamp_version: draft.timestamp_version,
            taken: false,
            taken_by: None,
        };
        Ok(Record::Receipt { sequence, entry })
    }

    /// The newest receipt about `subject`, if it says one of `codes` (any, if none is named).
    pub(super) fn earlier_receipt(&self, subject: Digest, code: Option<Code>) -> Option<u64> {
        let fits = |entry: &OutboxEntry| entry.subject == subject && code.is_none_or(|code| entry.code == code);
        self.store.state().outbox.iter().rev().find(|(_, entry)| fits(entry)).map(|(sequence, _)| *sequence)
    }

    /// Counts a refusal of input that never verified. Receipts are written for the 1st, 10th, 100th … of its code in a
    /// period, the others only count: whoever feeds rubbish fills neither the journal nor the outbox.
    pub(super) fn refused(&mut self, code: Code, input: Digest) -> Result<Option<u64>, Failure> {
        let day = self.stamp().wall.unix() / PERIOD_SECONDS;
        let count = match self.refusals.get(&code) {
            Some(refusal) if refusal.day == day => refusal.count.saturating_add(1),
            _ => 1,
        };
        let refusal = Refusal { day, count, input };
        self.refusals.insert(code, refusal.clone());
        // Exact enough to see a flood after a restart, and a flood of n costs log n records.
        if count.is_power_of_two() {
            self.commit(&[Record::Refused { code, refusal }])?;
        }
        if !is_power_of_ten(count) {
            return Ok(self.newest_refusal_receipt(code));
        }
        let draft = Draft {
            subject: Subject::input(input),
            digest: input,
            timestamp_version: None,
            archive: None,
            code,
            owners: Vec::new(),
            boundary: None,
            transport: None,
            count,
        };
        self.write_receipt(draft).map(Some)
    }

    fn newest_refusal_receipt(&self, code: Code) -> Option<u64> {
        let mut newest = self.store.state().outbox.iter().rev();
        newest.find(|(_, entry)| entry.code == code && entry.timestamp_version.is_none()).map(|(sequence, _)| *sequence)
    }

    /// Deletes objects nothing leads to any more, unless some are just becoming part of something.
    pub(super) fn tidy(&mut self) {
        let at_rest = |state: &State| state.is_settled() || state.is_waiting();
        if !self.untidy || self.importing || !self.store.state().owners.values().all(at_rest) {
            return;
        }
        match self.collect() {
            Ok(count) => tracing::debug!(count, "objects nothing leads to"),
            // They cost space, not correctness, and go with the next ones.
            Err(failure) => tracing::warn!(code = %failure.code, "objects nothing leads to stay"),
        }
        self.untidy = false;
    }

    fn collect(&self) -> Result<usize, Failure> {
        let state = self.store.state();
        let mut keep: BTreeSet<Digest> = state.objects().collect();
        for (owner, machine) in &state.owners {
            for generation in machine.kept() {
                let manifest = manifest(&self.store, owner, generation)?;
                keep.extend(manifest.files.iter().map(|file| object_id(&file.parts)));
            }
        }
        Ok(self.store.objects().collect(&keep)?)
    }
}

/// The receipt of a bundle whose owners are all final.
pub(super) fn draft(bundle: OpenBundle) -> Draft {
    let version = Version::new(bundle.timestamp_version).unwrap_or(Version::FIRST);
    Draft {
        subject: Subject::snapshot(version, bundle.snapshot),
        digest: bundle.snapshot,
        timestamp_version: Some(bundle.timestamp_version),
        archive: bundle.archive,
        code: overall_with(&bundle.outcomes, bundle.boundary.as_ref()),
        owners: bundle.outcomes,
        boundary: bundle.boundary,
        transport: bundle.transport,
        count: 1,
    }
}

fn is_power_of_ten(mut number: u64) -> bool {
    while number > 1 && number.is_multiple_of(10) {
        number /= 10;
    }
    number == 1
}
