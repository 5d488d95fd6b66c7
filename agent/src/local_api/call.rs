//! What can be asked of the agent.

use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::exit::Failure;

/// One question or order.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        /// Absolute.
        path: PathBuf,
    },
    /// The health report.
    Health,
    /// Enrolment, owners, refusals.
    Status,
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
    },
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
