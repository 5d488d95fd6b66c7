//! What can be asked of the agent.

use std::fs::File;
use std::path::PathBuf;

use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::device::certificate_name::CertificateName;
use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::evidence::receipt::Transport;
use serde_json::Value;
use tokio::sync::oneshot;

use super::answer::ConsumerReport;
use crate::exit::Failure;

/// One question or order.
#[derive(Debug)]
pub enum Call {
    /// An enrolment request for this device's keys; makes them if there are none.
    EnrolRequest,
    /// Read a grant; its words then wait for confirmation.
    EnrolGrant {
        /// The grant file's content.
        grant: Vec<u8>,
    },
    /// Somebody compared the words.
    EnrolWords {
        /// As typed.
        words: String,
    },
    /// Import a bundle, a folder of bundles, or a stick.
    Import {
        /// Where it comes from.
        source: ImportSource,
        /// How it came; what turns out to be a stick is one.
        transport: Transport,
        /// Answer only once no owner is in probation any more. A maintenance window is not waited for.
        wait: bool,
        /// Verify and say what would change; change nothing and keep nothing.
        dry_run: bool,
    },
    /// The health report.
    Health,
    /// Enrolment, owners, refusals.
    Status,
    /// What `current` composes, file by file: a [`TreeReport`](super::answer::TreeReport).
    Tree,
    /// What the generations under way change, or the last ones did: a [`DiffReport`](super::answer::DiffReport).
    Diff,
    /// Where a current file's bytes are: a [`FilePlace`](super::answer::FilePlace). The server opens and sends it.
    File {
        /// Whose.
        owner: Owner,
        /// Where it stands in the owner's tree.
        path: FilePath,
    },
    /// A consumer says whether a generation works: a [`ReportAnswer`](super::answer::ReportAnswer).
    Report {
        /// Which consumer.
        consumer: Name,
        /// What it says.
        report: ConsumerReport,
    },
    /// How the boundary stands: a [`BoundaryReport`](super::answer::BoundaryReport).
    Boundary {
        /// With who sent what beyond it, and where to.
        drops: bool,
    },
    /// Which receipts are kept.
    Receipts,
    /// One receipt as signed.
    Receipt {
        /// Its number.
        sequence: u64,
    },
    /// A receipt has been taken home.
    ReceiptTaken {
        /// Its number.
        sequence: u64,
        /// With what certificate, if over the network.
        by: Option<CertificateName>,
    },
}

/// Where an import comes from.
#[derive(Debug)]
pub enum ImportSource {
    /// A bundle, a folder of bundles, or a stick; absolute.
    Path(PathBuf),
    /// The reading end of a pipe through which one bundle comes. Its writer may stop early: the bundle is then
    /// truncated like any other.
    Stream(File),
}

/// What comes back: a JSON document, or why not.
pub type Answer = Result<Value, Failure>;

/// A call on its way to the loop that owns the state.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub call: Call,
    /// Where the answer goes; whoever asked may have left.
    pub reply: oneshot::Sender<Answer>,
}
