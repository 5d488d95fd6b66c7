//! What the agent answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use casemate_engine::update;
use casemate_protocol::bundle::manifest::Consumer;
use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::{ApplianceId, Jurisdiction, Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::health::BoundaryHealth;
use casemate_protocol::evidence::receipt::{GenerationRef, JournalPosition, OwnerOutcome};
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

mod boundary;

pub use boundary::{
    BoundaryChange, BoundaryEdit, BoundaryImport, BoundaryReport, BoundarySource, BoundaryTrial, Narrower,
};

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
    /// What became of the boundary, if the bundle brings one that does not stand already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<BoundaryImport>,
    /// Number of the receipt that says so; none while an owner waits or is in probation, and none of a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<u64>,
    /// What each owner's generation would change: of a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<OwnerDiff>,
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
    /// Owners that have something current or under way.
    pub owners: Vec<OwnerStatus>,
    /// How the boundary stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<BoundaryHealth>,
    /// Receipts nobody has taken home yet.
    pub receipts_waiting: u64,
    /// Refusals of input that never verified, by code, in the present period.
    pub refusals: Vec<RefusalCount>,
    /// Those the boundary in force has the agent talk to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerStatus>,
    /// Size and tree head of the journal.
    pub journal: JournalPosition,
    /// What opening the state found, if it was not in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// Where one owner stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerStatus {
    /// Whose.
    pub id: Owner,
    /// Where its machine stands.
    pub state: OwnerState,
    /// What consumers read at `path`, in probation already the generation on trial; nothing before the first
    /// generation, and while the switch itself is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<GenerationRef>,
    /// The generation that waits for its window or is being staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<GenerationRef>,
    /// Where consumers read what is current.
    pub path: PathBuf,
    /// Consumers whose `ready` is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaited: Vec<Name>,
    /// Seconds until the generation on trial is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_in_s: Option<u64>,
    /// Seconds until its maintenance window opens, as far as the clock is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_in_s: Option<u64>,
    /// Why the last generation that was tried and undone was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<OwnerFailure>,
}

/// Where an owner's machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerState {
    /// Nothing is current and nothing under way.
    Idle,
    /// A generation is being built beside what is current.
    Staging,
    /// A generation is built and waits for its maintenance window.
    Waiting,
    /// `current` is being pointed at the generation.
    Switching,
    /// The generation is current and on trial.
    Probation,
    /// What is current is final.
    Committed,
    /// `current` is being pointed back.
    Restoring,
    /// The owner left; its tree is being taken away.
    Removing,
    /// The owner left.
    Removed,
}

impl From<&update::State> for OwnerState {
    fn from(state: &update::State) -> Self {
        match state {
            update::State::Idle { .. } => Self::Idle,
            update::State::Staging { .. } => Self::Staging,
            update::State::Waiting { .. } => Self::Waiting,
            update::State::Switching { .. } => Self::Switching,
            update::State::Probation { .. } => Self::Probation,
            update::State::Committed { .. } => Self::Committed,
            update::State::Restoring { .. } => Self::Restoring,
            update::State::Removing { .. } => Self::Removing,
            update::State::Removed { .. } => Self::Removed,
        }
    }
}

/// Why a generation was undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerFailure {
    /// Its number.
    pub generation: u64,
    /// As in the receipt.
    pub code: Code,
    /// The consumer that failed or stayed silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Name>,
    /// What the consumer gave as its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Name>,
}

/// How often one refusal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalCount {
    /// Which.
    pub code: Code,
    /// How often.
    pub count: u64,
}

/// How it stands with one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name in the boundary.
    pub id: Name,
    /// It answered when it was asked last.
    pub up: bool,
    /// When it answered last, by the wall clock of then; absent if it has not since the agent started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<UtcTime>,
    /// What was noticed of it last since the agent started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Code>,
    /// What was noticed of it in the last days, each on the last day it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noticed: Vec<RefusalCount>,
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

/// What `current` composes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeReport {
    /// Journal size this is true at: follow the events after it.
    pub sequence: u64,
    /// Owners that have something current.
    pub owners: Vec<OwnerTree>,
}

/// What is current for one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerTree {
    /// Whose.
    pub id: Owner,
    /// `probation`: this generation may still be undone, and reports on it are awaited.
    pub state: OwnerState,
    /// Which generation.
    pub generation: GenerationRef,
    /// Where consumers read it, `current/…`; files may be opened there.
    pub path: PathBuf,
    /// Its files, by path.
    pub files: Vec<TreeFile>,
    /// Who reads them, as its manifest declares.
    pub consumers: BTreeMap<Name, Consumer>,
}

/// One current file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFile {
    /// Where it stands in its owner's tree.
    pub path: FilePath,
    /// Bytes.
    pub length: u64,
    /// Digest that names its content: equal digests are equal contents.
    pub object: Digest,
    /// The consumer that reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Name>,
}

/// What generations change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffReport {
    /// Owners that ever had a generation.
    pub owners: Vec<OwnerDiff>,
}

/// What one generation changes: the one under way, or the last one if none is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerDiff {
    /// Whose.
    pub id: Owner,
    /// The generation before; absent if there was none, or it is kept no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<GenerationRef>,
    /// The generation after; absent if the owner leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<GenerationRef>,
    /// Files that differ, by path.
    pub files: Vec<FileChange>,
    /// Consumers of those files.
    pub consumers: Vec<Name>,
}

/// One file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Where it stands in its owner's tree.
    pub path: FilePath,
    /// How it differs.
    pub change: Change,
    /// The consumer that reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Name>,
}

/// How a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// New.
    Added,
    /// Gone.
    Removed,
    /// Other content.
    Changed,
}

/// Where a current file's bytes are. Never leaves the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlace {
    /// The file, in the folder of its generation rather than below `current`: opened there, it is this content even if
    /// `current` moves meanwhile.
    pub path: PathBuf,
    /// Bytes.
    pub length: u64,
    /// Digest that names its content.
    pub object: Digest,
}

/// What a consumer says about a generation in probation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerReport {
    /// Whose generation.
    pub owner: Owner,
    /// Its number.
    pub generation: u64,
    /// Whether it works.
    pub outcome: Outcome,
    /// Why it does not: one hyphenated word, for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Name>,
}

/// Whether a consumer works with a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It does.
    Ready,
    /// It does not: the generation is undone at once.
    Failed,
}

/// A consumer's report was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportAnswer {
    /// Where the owner stands now.
    pub state: OwnerState,
}
