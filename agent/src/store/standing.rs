//! Where the boundary stands, as it is remembered.

use casemate_engine::boundary;
use casemate_protocol::boundary::Change;
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::BoundaryOutcome;
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

/// Where the boundary stands. Remembered once a bundle named one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryStanding {
    /// The machine's state: what is signed and what is in force of it.
    pub state: boundary::State,
    /// The documents it comes from; absent while none is assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<BoundaryDocuments>,
    /// What the host's enforcer is shown, an object.
    pub offer: Digest,
    /// What changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastChange>,
}

/// The documents behind a boundary, by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryDocuments {
    /// The boundary.
    pub boundary: Digest,
    /// The envelope.
    pub envelope: Digest,
}

/// What changed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// When, by the wall clock of then.
    pub time: UtcTime,
    /// What happened.
    pub code: Code,
    /// Digest of the policy in force before.
    pub before: Digest,
    /// Digest of the policy in force after.
    pub after: Digest,
    /// What came and went.
    pub changes: Vec<Change>,
}

/// The boundary moved: the content of [`super::Record::Boundary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryMoved {
    /// Where it stands now.
    pub state: boundary::State,
    /// The documents it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<BoundaryDocuments>,
    /// What the host's enforcer is shown from now on.
    pub offer: Digest,
    /// What happened.
    pub code: Code,
    /// Digest of the policy in force before.
    pub before: Digest,
    /// Digest of the policy in force after.
    pub after: Digest,
    /// What came and went; nothing does when a trial goes on or ends well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What the receipt of the open bundle says, once it is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<BoundaryOutcome>,
}

impl BoundaryMoved {
    /// Where the boundary stands after this, journalled at `time`, if it stood at `before`.
    pub(super) fn standing(&self, time: UtcTime, before: Option<&BoundaryStanding>) -> BoundaryStanding {
        let last = if self.changes.is_empty() {
            // A trial that ended well says so of the change it was about.
            let about = before.and_then(|before| before.last.clone());
            about.map(|last| if last.after == self.after { LastChange { code: self.code, ..last } } else { last })
        } else {
            let Self { code, before, after, changes, .. } = self;
            Some(LastChange { time, code: *code, before: *before, after: *after, changes: changes.clone() })
        };
        BoundaryStanding { state: self.state.clone(), documents: self.documents, offer: self.offer, last }
    }
}
