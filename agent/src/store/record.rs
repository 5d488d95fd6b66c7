//! Everything that changes the small state, one variant a change.

use casemate_engine::update;
use casemate_protocol::device::assignment::Assignment;
use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::OwnerOutcome;
use casemate_protocol::tuf::floors::{Floors, RootFloor};
use serde::{Deserialize, Serialize};

use super::kept_floors::KeptFloors;
use super::small_state::{Enrolment, KeptTransport, Notice, OpenBundle, OutboxEntry, Refusal, Trust};
use super::standing::BoundaryMoved;
use casemate_protocol::code::Code;

/// One journal entry. The same fold ([`super::SmallState::apply`]) runs live and at replay.
///
/// Bodies hold codes, digests, numbers and names of the profile: no key, no secret, no personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// A process that may change things has opened the journal (R25: start of logging).
    Started {
        /// Its version.
        version: String,
    },
    /// It has closed it in order; nothing follows but another start.
    Stopped {
        /// Digest over the second copy's files, if they were whole and flushed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copy: Option<Digest>,
    },
    /// The enrolment moved.
    Enrolled {
        /// Where it stands now.
        enrolment: Enrolment,
    },
    /// A link of the root chain was accepted. Persisted at once, whatever becomes of the bundle.
    Root {
        /// SHA-256 of its raw bytes, an object.
        digest: Digest,
        /// Its version and content: the root's floor from now on.
        floor: RootFloor,
    },
    /// A bundle was accepted: trust, floors and assignment move together, and what was decided is open until its
    /// receipt.
    Accepted(Box<Accepted>),
    /// An owner moved. Journalled before the effects the state names.
    Owner {
        /// Who.
        owner: Owner,
        /// Where it stands now.
        state: update::State,
    },
    /// An owner's part of the open bundle is final.
    Outcome(OwnerOutcome),
    /// A receipt was written and waits to be taken home; closes the open bundle.
    Receipt {
        /// Its number.
        sequence: u64,
        /// What it is about and where it is.
        entry: OutboxEntry,
    },
    /// A receipt has been taken home.
    Taken {
        /// Its number.
        sequence: u64,
        /// Who did over the network; by hand if absent: onto a stick, or on the appliance itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Taker>,
    },
    /// Input was refused before anything in it was verified: the aggregate so far, not one entry an attempt.
    Refused {
        /// Why.
        code: Code,
        /// The aggregate from now on.
        refusal: Refusal,
    },
    /// Something could not be written for lack of space. Fits into space kept back for it.
    DiskFull {
        /// Bytes that were wanted.
        wanted: u64,
    },
    /// The second copy knew higher floors than the journal: they hold from now on.
    Raised {
        /// The higher of both, floor by floor.
        floors: KeptFloors,
    },
    /// The boundary moved, or is to be shown to the enforcer anew. Journalled before anything acts on it.
    Boundary(Box<BoundaryMoved>),
    /// Something of a peer was noticed: the aggregate so far, not one entry an occasion.
    Noticed {
        /// Whose, by its name in the boundary.
        peer: Name,
        /// What.
        code: Code,
        /// The aggregate from now on.
        notice: Notice,
    },
}

/// Who takes receipts over the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taker {
    /// A peer, by its name in the boundary.
    Peer(Name),
    /// Whoever showed a certificate, by its name: `casemate://LU/publisher/pub-1`.
    Certificate(String),
}

/// The content of [`Record::Accepted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The metadata now in force.
    pub trust: Trust,
    /// The floors now in force.
    pub floors: Floors,
    /// The assignment now in force.
    pub assignment: Assignment,
    /// The bundle that is being carried out.
    pub bundle: OpenBundle,
    /// What counts of connections beside the assignment, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Box<KeptTransport>>,
}

impl Record {
    /// The kind as it stands in the entry's header, outside the salted body. Never renumbered.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Started { .. } => 1,
            Self::Stopped { .. } => 2,
            Self::Enrolled { .. } => 3,
            Self::Root { .. } => 4,
            Self::Accepted(_) => 5,
            Self::Owner { .. } => 6,
            Self::Outcome(_) => 7,
            Self::Receipt { .. } => 8,
            Self::Taken { .. } => 9,
            Self::Refused { .. } => 10,
            Self::DiskFull { .. } => 11,
            Self::Raised { .. } => 12,
            Self::Boundary(_) => 13,
            Self::Noticed { .. } => 14,
        }
    }

    /// Something an operator would miss if it were gone: the second copy is flushed after it.
    #[must_use]
    pub const fn is_milestone(&self) -> bool {
        matches!(
            self,
            Self::Enrolled { .. } | Self::Root { .. } | Self::Receipt { .. } | Self::Raised { .. } | Self::Boundary(_)
        )
    }
}
