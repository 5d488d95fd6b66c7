//! What the agent answers.

use std::path::PathBuf;

use casemate_protocol::code::Code;
use casemate_protocol::device::id::{ApplianceId, Jurisdiction, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{GenerationRef, JournalPosition, OwnerOutcome};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// A grant was read; the same words must stand on the other side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingEnrolment {
    /// The id the control plane gave.
    pub appliance: ApplianceId,
    /// Where the appliance lives from now on.
    pub jurisdiction: Jurisdiction,
    /// The words, three lines of four.
    pub words: Vec<String>,
    /// One person may do everything under this root.
    pub demo: bool,
}

/// The words were confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedEnrolment {
    /// The appliance's id.
    pub appliance: ApplianceId,
    /// Where it lives.
    pub jurisdiction: Jurisdiction,
}

/// What became of everything an import found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The outcome: that of the bundle acted on, or the gravest refusal if there was none.
    pub code: Code,
    /// Each bundle found, in the order they were judged.
    pub bundles: Vec<BundleReport>,
}

/// What became of one bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleReport {
    /// The file; stays on the appliance, receipts never name it.
    pub file: PathBuf,
    /// What happened.
    pub code: Code,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Version of its timestamp, if one verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_version: Option<u64>,
    /// What became of each owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OwnerOutcome>,
    /// Number of the receipt that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<u64>,
}

/// How far enrolment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnrolmentState {
    /// No grant was read.
    None,
    /// The words wait for confirmation.
    Pending,
    /// The words were confirmed.
    Confirmed,
}

/// Where the appliance stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// How far enrolment is.
    pub enrolment: EnrolmentState,
    /// The appliance's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appliance: Option<ApplianceId>,
    /// Where it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Jurisdiction>,
    /// Fingerprint of its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Digest>,
    /// Version of the root in force.
    pub root_version: u64,
    /// Version of the newest accepted timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_version: Option<u64>,
    /// Digest of the newest accepted snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Digest>,
    /// Owners that have something current.
    pub owners: Vec<OwnerStatus>,
    /// Receipts nobody has taken home yet.
    pub receipts_waiting: u64,
    /// Refusals of input that never verified, by code, in the present period.
    pub refusals: Vec<RefusalCount>,
    /// Size and tree head of the journal.
    pub journal: JournalPosition,
    /// What opening the state found, if it was not in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// What is current for one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerStatus {
    /// Whose.
    pub id: Owner,
    /// What is current.
    pub current: GenerationRef,
    /// Where consumers read it.
    pub path: PathBuf,
}

/// How often one refusal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalCount {
    /// Which.
    pub code: Code,
    /// How often.
    pub count: u64,
}

/// The receipts kept here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptList {
    /// The folder name they travel under: says nothing about who or where the appliance is.
    pub outbox: String,
    /// By number.
    pub receipts: Vec<ReceiptEntry>,
}

/// One receipt kept here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptEntry {
    /// Its number.
    pub sequence: u64,
    /// Its overall code.
    pub code: Code,
    /// Version of the timestamp it is about; absent before a verified snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_version: Option<u64>,
    /// What it is about.
    pub subject: Digest,
    /// Somebody has taken it home.
    pub taken: bool,
}
