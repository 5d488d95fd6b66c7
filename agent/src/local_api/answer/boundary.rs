//! What the agent answers about the boundary.

use casemate_protocol::boundary::{self, Edit, Policy};
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::health::{Enforcement, Layers};
use casemate_protocol::evidence::receipt::BoundaryOutcome;
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

use crate::boundary::drops::Drops;
use crate::boundary::status::EnforcerStatus;

/// What is in force, what was signed, and who sees to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryReport {
    /// Digest of the policy in force.
    pub policy: Digest,
    /// The policy in force.
    pub allow: Policy,
    /// The signed boundary it comes from; absent if none is assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<BoundarySource>,
    /// What takes something away from the signed one.
    pub narrowed_by: Vec<Narrower>,
    /// The trial of a wider boundary, while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<BoundaryTrial>,
    /// Who sees to it.
    pub enforcement: Enforcement,
    /// Which layers hold now.
    pub layers: Layers,
    /// What the enforcer says the kernel enforces; absent if it says nothing that can be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcer: Option<EnforcerStatus>,
    /// What changed last; absent if nothing ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<BoundaryChange>,
    /// Packets beyond the boundary since the machine started.
    pub attempts: u64,
    /// Who sent them where; only through the admin's socket, and only if somebody watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drops: Option<Drops>,
}

/// Where a policy comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundarySource {
    /// The boundary's name, as the assignment has it.
    pub name: Name,
    /// Version of the role that signed it.
    pub version: u64,
    /// SHA-256 of the signed document.
    pub document: Digest,
    /// SHA-256 of the envelope, which root binds.
    pub envelope: Digest,
    /// Digest of the policy it asks for, tenants' narrowing applied.
    pub policy: Digest,
}

/// What takes something away from a signed boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Narrower {
    /// The site's own file in the image.
    Site,
    /// A wider boundary was tried in vain.
    Fallback,
}

/// A wider boundary on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryTrial {
    /// Required peers that were not reached yet.
    pub awaited: Vec<Name>,
    /// Seconds until it is given up.
    pub deadline_in_s: u64,
}

/// One change of what is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryChange {
    /// When, by the wall clock of then.
    pub time: UtcTime,
    /// `applied`, `probation`, or why it went back.
    pub code: Code,
    /// Digest of the policy before.
    pub before: Digest,
    /// Digest of the policy after.
    pub after: Digest,
    /// Entry by entry.
    pub changes: Vec<BoundaryEdit>,
}

/// What a bundle does to the boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryImport {
    /// What happened: `probation` while it is on trial.
    pub code: Code,
    /// Digest of the policy in force before; absent if there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Digest of the policy in force after; of a dry run, what an import would put in force first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Digest>,
    /// Entry by entry: of a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<BoundaryEdit>,
}

impl From<BoundaryOutcome> for BoundaryImport {
    fn from(outcome: BoundaryOutcome) -> Self {
        Self { code: outcome.code, before: outcome.before, after: outcome.after, changes: Vec::new() }
    }
}

/// One entry that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryEdit {
    /// Which way.
    pub edit: Edit,
    /// The entry.
    pub item: String,
}

impl From<boundary::Change> for BoundaryEdit {
    fn from(change: boundary::Change) -> Self {
        Self { edit: change.edit, item: change.item }
    }
}
