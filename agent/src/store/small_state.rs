//! The small state: everything the appliance must remember, folded from the journal's records.

use std::collections::BTreeMap;

use casemate_engine::update;
use casemate_protocol::code::Code;
use casemate_protocol::device::assignment::Assignment;
use casemate_protocol::device::id::{ApplianceId, Jurisdiction, Name, Owner};
use casemate_protocol::device::transport::TransportSettings;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{BoundaryOutcome, OwnerOutcome, Transport};
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

use super::kept_floors::KeptFloors;
use super::record::{Record, Taker};
use super::standing::BoundaryStanding;

/// Receipts that were taken home and are still remembered, so that the same bundle again returns its earlier receipt.
const REMEMBERED_RECEIPTS: usize = 64;

/// Days for which what was noticed of a peer is remembered.
const REMEMBERED_NOTICE_DAYS: u64 = 30;

/// What the appliance remembers. A few KiB for tens of owners; raw metadata are objects, named here by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallState {
    /// Whether and as whom the appliance is enrolled.
    pub enrolment: Enrolment,
    /// The metadata in force.
    pub trust: Trust,
    /// The floors in force.
    pub floors: KeptFloors,
    /// Roots after the one the appliance was enrolled with, by version, objects: the enforcer walks them too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roots: BTreeMap<u64, Digest>,
    /// Where the boundary stands, once a bundle named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Box<BoundaryStanding>>,
    /// The assignment in force.
    pub assignment: Option<Assignment>,
    /// What counts of connections beside the assignment, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Box<KeptTransport>>,
    /// Where every owner ever seen stands.
    pub owners: BTreeMap<Owner, update::State>,
    /// The bundle that is being carried out: its receipt is still to be written.
    pub bundle: Option<OpenBundle>,
    /// Receipts by number: those not taken home, and the newest of those that were.
    pub outbox: BTreeMap<u64, OutboxEntry>,
    /// Number of the newest receipt; 0 before the first.
    pub receipts: u64,
    /// Refusals of unverified input, aggregated by code.
    pub refusals: BTreeMap<Code, Refusal>,
    /// What was noticed of peers, aggregated by code; the older a notice, the sooner it is forgotten.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notices: BTreeMap<Name, BTreeMap<Code, Notice>>,
    /// When a bundle was last accepted, by the wall clock of then.
    pub accepted_at: Option<UtcTime>,
    /// The newest record says that the last process closed in order.
    pub stopped: Option<Stopped>,
}

/// What the assignment in force says no more, and is not forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTransport {
    /// The newest settings that could be used, where the assignment's cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<TransportSettings>,
    /// Authorities' newest revocation lists, where the assignment carries an older one or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<String>,
}

/// What the last process left when it closed in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Digest over the second copy's files, if they were whole and flushed.
    pub copy: Option<Digest>,
}

/// Whether and as whom the appliance is enrolled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Enrolment {
    /// Keys may exist; nobody has granted anything.
    #[default]
    None,
    /// A request was written for these keys.
    Requested {
        /// Fingerprint of the device keys.
        device: Digest,
    },
    /// A grant was read; somebody has to compare the words.
    Pending(Identity),
    /// The words were confirmed.
    Confirmed(Identity),
}

/// As whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The id the control plane gave.
    pub appliance: ApplianceId,
    /// Where the appliance lives.
    pub jurisdiction: Jurisdiction,
    /// Fingerprint of the device keys.
    pub device: Digest,
    /// SHA-256 of the root the grant carried, an object: where trust starts.
    pub root: Digest,
}

/// The metadata in force, by digest; the raw bytes are objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Version of the root in force; 0 before enrolment.
    pub root_version: u64,
    /// Role → SHA-256 of its raw bytes, root included.
    pub roles: BTreeMap<RoleName, Digest>,
}

/// A bundle between its acceptance and its receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBundle {
    /// Version of its timestamp.
    pub timestamp_version: u64,
    /// SHA-256 of its snapshot.
    pub snapshot: Digest,
    /// SHA-256 of the archive, where there was one.
    pub archive: Option<Digest>,
    /// How it came; not known of bundles accepted before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Owners whose part is final.
    pub outcomes: Vec<OwnerOutcome>,
    /// The boundary's part, if it has one and that is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<BoundaryOutcome>,
}

/// A receipt that waits, or was taken home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// SHA-256 of the signed receipt, an object.
    pub receipt: Digest,
    /// Its overall code.
    pub code: Code,
    /// SHA-256 it is about: the snapshot, or the input before there was a verified one.
    pub subject: Digest,
    /// Version of the timestamp it is about; absent before a verified snapshot.
    pub timestamp_version: Option<u64>,
    /// Somebody has taken it home.
    pub taken: bool,
    /// Who, if that was over the network: a stick then carries it all the same, for who says that he took a receipt
    /// may have thrown it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_by: Option<Taker>,
}

impl OutboxEntry {
    /// No stick has carried it, and nobody took it on the appliance itself.
    #[must_use]
    pub fn is_for_sticks(&self) -> bool {
        !self.taken || self.taken_by.is_some()
    }
}

/// Refusals of one code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The period it counts in, in days since 1970-01-01.
    pub day: u64,
    /// How many there were in it.
    pub count: u64,
    /// SHA-256 of the newest input refused.
    pub input: Digest,
}

/// What was noticed of one peer under one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The period it counts in, in days since 1970-01-01.
    pub day: u64,
    /// How often in it.
    pub count: u64,
}

impl SmallState {
    /// Folds `record`, journalled at `wall`, into the state.
    pub fn apply(&mut self, wall: UtcTime, record: &Record) {
        self.stopped = None;
        match record {
            Record::Started { .. } | Record::DiskFull { .. } => {}
            Record::Stopped { copy } => self.stopped = Some(Stopped { copy: *copy }),
            Record::Enrolled { enrolment } => self.enrolment = enrolment.clone(),
            Record::Root { digest, floor } => {
                self.trust.root_version = floor.version.get();
                self.trust.roles.insert(RoleName::root(), *digest);
                if !self.is_enrolled_with(digest) {
                    self.roots.insert(floor.version.get(), *digest);
                }
                self.floors.floors.root = Some(floor.clone());
            }
            Record::Raised { floors } => self.floors = floors.clone(),
            Record::Accepted(accepted) => {
                self.trust = accepted.trust.clone();
                self.floors = KeptFloors { root_version: accepted.trust.root_version, floors: accepted.floors.clone() };
                self.assignment = Some(accepted.assignment.clone());
                self.transport.clone_from(&accepted.transport);
                self.bundle = Some(accepted.bundle.clone());
                self.accepted_at = Some(wall);
            }
            Record::Owner { owner, state } => {
                self.owners.insert(owner.clone(), state.clone());
            }
            Record::Outcome(outcome) => {
                if let Some(bundle) = &mut self.bundle {
                    bundle.outcomes.push(outcome.clone());
                }
            }
            Record::Receipt { sequence, entry } => {
                self.receipts = self.receipts.max(*sequence);
                self.bundle = None;
                self.outbox.insert(*sequence, entry.clone());
            }
            Record::Boundary(moved) => {
                self.boundary = Some(Box::new(moved.standing(wall, self.boundary.as_deref())));
                if let Some(bundle) = &mut self.bundle {
                    bundle.boundary = bundle.boundary.or(moved.outcome);
                }
            }
            Record::Taken { sequence, by } => self.take(*sequence, by.clone()),
            Record::Refused { code, refusal } => {
                self.refusals.insert(*code, refusal.clone());
            }
            Record::Noticed { peer, code, notice } => self.notice(peer, *code, *notice),
        }
    }

    fn notice(&mut self, peer: &Name, code: Code, notice: Notice) {
        self.notices.entry(peer.clone()).or_default().insert(code, notice);
        self.notices.retain(|_, codes| {
            codes.retain(|_, kept| kept.day.abs_diff(notice.day) <= REMEMBERED_NOTICE_DAYS);
            !codes.is_empty()
        });
    }

    fn is_enrolled_with(&self, root: &Digest) -> bool {
        matches!(&self.enrolment, Enrolment::Confirmed(identity) if identity.root == *root)
    }

    fn take(&mut self, sequence: u64, by: Option<Taker>) {
        if let Some(entry) = self.outbox.get_mut(&sequence) {
            entry.taken = true;
            entry.taken_by = by;
        }
        let taken: Vec<u64> = self.outbox.iter().filter(|(_, entry)| entry.taken).map(|(number, _)| *number).collect();
        for number in taken.iter().take(taken.len().saturating_sub(REMEMBERED_RECEIPTS)) {
            self.outbox.remove(number);
        }
    }

    /// Every object the state names: what [`super::Objects::collect`] must keep, beside the parts of kept manifests.
    pub fn objects(&self) -> impl Iterator<Item = Digest> {
        let pinned = match &self.enrolment {
            Enrolment::Pending(identity) | Enrolment::Confirmed(identity) => Some(identity.root),
            Enrolment::None | Enrolment::Requested { .. } => None,
        };
        let manifests = self.owners.values().flat_map(|state| state.kept().map(|generation| generation.manifest));
        let staging = self.owners.values().filter_map(|state| match state {
            update::State::Staging { next, .. } => Some(next.manifest),
            _ => None,
        });
        pinned
            .into_iter()
            .chain(self.trust.roles.values().copied())
            .chain(self.roots.values().copied())
            .chain(self.boundary.iter().map(|boundary| boundary.offer))
            .chain(self.outbox.values().map(|entry| entry.receipt))
            .chain(manifests)
            .chain(staging)
    }
}
