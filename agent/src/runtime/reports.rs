//! What the agent says when asked.

use casemate_engine::update::{self, State};
use casemate_protocol::code::Class;
use casemate_protocol::device::id::Owner;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::health::HealthReport;
use casemate_protocol::evidence::receipt::{self, Receipt};
use casemate_protocol::signed::Unverified;
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::root::Root;
use serde_json::Value;

use super::error::RuntimeError;
use super::keeper::Keeper;
use crate::exit::Failure;
use crate::health::{self, Dates, Vitals};
use crate::local_api::answer::{
    EnrolmentState, OwnerFailure, OwnerState, OwnerStatus, ReceiptEntry, ReceiptList, RefusalCount, StatusReport,
};
use crate::local_api::call::{Answer, Call};
use crate::outbox;
use crate::store::{Enrolment, Record, Taker};

impl Keeper {
    /// Answers every call but an import, which is the loop's.
    pub(super) fn answer(&mut self, call: Call) -> Answer {
        let document = |value: Result<Value, serde_json::Error>| {
            value.map_err(|source| Failure::from(RuntimeError::Stored { what: "answer", source }))
        };
        match call {
            Call::EnrolRequest => document(serde_json::from_slice(&self.enrol_request()?)),
            Call::EnrolGrant { grant } => document(serde_json::to_value(self.enrol_grant(&grant)?)),
            Call::EnrolWords { words } => document(serde_json::to_value(self.enrol_words(&words)?)),
            Call::Health => document(serde_json::to_value(self.health())),
            Call::Status => document(serde_json::to_value(self.status())),
            Call::Receipts => document(serde_json::to_value(self.receipt_list())),
            Call::Receipt { sequence } => document(serde_json::from_slice(&self.receipt(sequence)?)),
            Call::ReceiptTaken { sequence, by } => {
                let by = by.map(|name| Taker::Certificate(name.to_string()));
                self.receipt_taken(&[sequence], by.as_ref())?;
                Ok(Value::Null)
            }
            Call::Boundary { drops } => document(serde_json::to_value(self.boundary_report(drops))),
            Call::Tree => document(serde_json::to_value(self.tree()?)),
            Call::Diff => document(serde_json::to_value(self.diff()?)),
            Call::File { owner, path } => document(serde_json::to_value(self.file(&owner, &path)?)),
            Call::Report { consumer, report } => document(serde_json::to_value(self.reported(&consumer, &report)?)),
            Call::Import { .. } => Err(RuntimeError::Stopping.into()),
        }
    }

    /// Whether the root in force says `demo`. Its object was verified when it was stored and is checked against its
    /// digest when read; a root never changes, so it is read once.
    pub(super) fn is_demo(&self) -> bool {
        let Some(root) = self.store.state().trust.roles.get(&RoleName::root()) else { return false };
        match self.demo.get() {
            Some((known, demo)) if known == *root => demo,
            _ => {
                let demo = self.says_demo(root);
                self.demo.set(demo.map(|demo| (*root, demo)));
                demo.unwrap_or(false)
            }
        }
    }

    fn says_demo(&self, root: &Digest) -> Option<bool> {
        let document = Unverified::parse(&self.store.objects().read(root).ok()?).ok()?;
        let root: Root = serde_json::from_value(document.signed().clone()).ok()?;
        Some(root.profile.is_some_and(|profile| profile.demo))
    }

    /// How the appliance is.
    pub(super) fn health(&self) -> HealthReport {
        let state = self.store.state();
        let (boundary, boundary_lacks) = self.boundary_health();
        let in_force = self.snapshot().and_then(|snapshot| self.earlier_receipt(snapshot, None));
        let outcome = in_force.and_then(|sequence| state.outbox.get(&sequence)).map(|entry| entry.code);
        health::report(&Vitals {
            enrolled: self.confirmed().ok().map(|identity| (identity.appliance, identity.jurisdiction)),
            demo: self.is_demo(),
            timestamp_version: self.timestamp_version(),
            signed_at: self.signed_at(),
            snapshot: self.snapshot(),
            generations: state.owners.values().filter(|state| state.current().is_some()).count(),
            incomplete: outcome.filter(|code| code.class() != Class::Done),
            certificates: self.transport_in_force().as_ref().map(Dates::of),
            under_way: self.unfinished_codes(),
            receipts_waiting: state.outbox.values().filter(|entry| !entry.taken).count(),
            boundary,
            boundary_lacks,
            transports: self.transports_health(),
            transports_invalid: self.are_transports_invalid(),
            damaged: self.damage.is_some(),
            uncopied: !self.store.is_copied() || self.stuck.is_some(),
            clock: self.clock(),
            journal: self.store.position(),
        })
    }

    fn status(&self) -> StatusReport {
        let state = self.store.state();
        let (enrolment, identity) = match &state.enrolment {
            Enrolment::None | Enrolment::Requested { .. } => (EnrolmentState::None, None),
            Enrolment::Pending(identity) => (EnrolmentState::Pending, Some(identity.clone())),
            Enrolment::Confirmed(identity) => (EnrolmentState::Confirmed, Some(identity.clone())),
        };
        let owners = state.owners.iter().filter_map(|(id, owner)| self.owner_status(id, owner));
        let refusals = self.refusals.iter().map(|(code, refusal)| RefusalCount { code: *code, count: refusal.count });
        StatusReport {
            enrolment,
            device: self.identity.as_ref().map(|identity| identity.public().fingerprint()),
            appliance: identity.as_ref().map(|identity| identity.appliance.clone()),
            jurisdiction: identity.map(|identity| identity.jurisdiction),
            root_version: state.trust.root_version,
            timestamp_version: self.timestamp_version(),
            snapshot: self.snapshot(),
            owners: owners.collect(),
            boundary: Some(self.boundary_health().0),
            receipts_waiting: state.outbox.values().filter(|entry| !entry.taken).count() as u64,
            refusals: refusals.collect(),
            peers: self.peers_status(),
            journal: self.store.position(),
            damage: self.damage.clone(),
        }
    }

    /// Where an owner stands; `None` for one that has nothing and tried nothing.
    fn owner_status(&self, id: &Owner, owner: &State) -> Option<OwnerStatus> {
        let failure = owner.failed().map(|failed| OwnerFailure {
            generation: owner.last(),
            code: failed.code,
            consumer: failed.consumer.clone(),
            reason: failed.reason.clone(),
        });
        let state = OwnerState::from(owner);
        if state == OwnerState::Removed || (state == OwnerState::Idle && failure.is_none()) {
            return None;
        }
        let due = update::due_in_seconds(owner, &self.now());
        Some(OwnerStatus {
            id: id.clone(),
            state,
            current: owner.current().cloned(),
            next: match owner {
                State::Staging { next, .. } | State::Waiting { next, .. } | State::Switching { next, .. } => {
                    Some(next.clone())
                }
                _ => None,
            },
            path: self.trees.current_path(id),
            awaited: owner.awaited().into_iter().cloned().collect(),
            deadline_in_s: due.filter(|_| state == OwnerState::Probation),
            opens_in_s: due.filter(|_| state == OwnerState::Waiting),
            failure,
        })
    }

    fn receipt_list(&self) -> ReceiptList {
        let device = self.identity.as_ref().map(|identity| identity.public().fingerprint());
        let receipts = self.store.state().outbox.iter().map(|(sequence, entry)| ReceiptEntry {
            sequence: *sequence,
            code: entry.code,
            timestamp_version: entry.timestamp_version,
            subject: entry.subject,
            taken: entry.taken,
        });
        ReceiptList {
            outbox: device.map_or_else(String::new, |device| outbox::folder_name(&device)),
            receipts: receipts.collect(),
        }
    }

    /// What one of our own receipts says.
    pub(super) fn own_receipt(&self, sequence: u64) -> Result<Receipt, Failure> {
        let identity = self.identity.as_ref().ok_or(RuntimeError::NotEnrolled)?;
        let verified = receipt::verify(&self.receipt(sequence)?, &identity.public().receipts)?;
        Ok(verified.receipt().clone())
    }

    /// One receipt as signed.
    pub(super) fn receipt(&self, sequence: u64) -> Result<Vec<u8>, Failure> {
        let entry = self.store.state().outbox.get(&sequence).ok_or(RuntimeError::NoReceipt(sequence))?;
        Ok(self.store.objects().read(&entry.receipt)?)
    }

    /// One receipt as signed, if it can be read: one that cannot holds up no other.
    pub(super) fn legible(&self, sequence: u64) -> Option<Vec<u8>> {
        let read = self.receipt(sequence);
        if let Err(failure) = &read {
            tracing::warn!(receipt = sequence, code = %failure.code, "a receipt cannot be read and stays here");
        }
        read.ok()
    }

    /// Notes that receipts have been taken home: by a peer or with a certificate, else by hand.
    pub(super) fn receipt_taken(&mut self, sequences: &[u64], by: Option<&Taker>) -> Result<(), Failure> {
        self.writable()?;
        let mut records = Vec::new();
        for sequence in sequences {
            let entry = self.store.state().outbox.get(sequence).ok_or(RuntimeError::NoReceipt(*sequence))?;
            // Who takes by hand what was taken over the network has it for certain.
            if !entry.taken || (by.is_none() && entry.taken_by.is_some()) {
                records.push(Record::Taken { sequence: *sequence, by: by.cloned() });
            }
        }
        if !records.is_empty() {
            self.commit(&records)?;
        }
        Ok(())
    }
}
