//! Why the runtime refuses a call.

use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::canonical::JsonError;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{Jurisdiction, Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::TufError;
use thiserror::Error;

use crate::store::StoreError;

/// Why the runtime refuses a call.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The state is damaged.
    #[error("the state takes no changes: {damage}")]
    Damaged {
        /// What and where.
        damage: String,
    },
    /// The keys are not the ones that were enrolled.
    #[error("the device keys in identity/ ({found}) are not the enrolled ones ({expected})")]
    OtherKeys {
        /// Fingerprint of the enrolled keys.
        expected: Digest,
        /// Fingerprint of the keys found; none if they are gone.
        found: String,
    },
    /// No confirmed enrolment.
    #[error("this appliance is not enrolled")]
    NotEnrolled,
    /// A confirmed enrolment stands.
    #[error("this appliance is enrolled as {appliance}")]
    AlreadyEnrolled {
        /// As whom.
        appliance: String,
    },
    /// No request was made here.
    #[error("no enrolment request was made on this appliance")]
    NoRequest,
    /// The grant answers another device's request.
    #[error("the grant is for the device {found}, this one is {expected}")]
    OtherDevice {
        /// This device.
        expected: Digest,
        /// The grant's.
        found: Digest,
    },
    /// The grant's root is not acceptable.
    #[error("the grant's root cannot be trusted")]
    Root(#[source] TufError),
    /// Grant and root disagree.
    #[error("the grant says jurisdiction {grant}, its root {root}")]
    Jurisdiction {
        /// In the grant.
        grant: Jurisdiction,
        /// In the root.
        root: Jurisdiction,
    },
    /// No grant waits for its words.
    #[error("no grant waits for its words")]
    NothingPending,
    /// The typed words are not the computed ones.
    #[error("the words typed are not the words of this appliance's grant")]
    Words,
    /// No such receipt.
    #[error("there is no receipt {0} here")]
    NoReceipt(u64),
    /// No such file is current.
    #[error("{owner} has no current file {path}")]
    NoFile {
        /// Whose.
        owner: Owner,
        /// Which.
        path: FilePath,
    },
    /// Nobody waits for this report.
    #[error("nobody waits for {consumer} to report on generation {generation} of {owner}")]
    NotAwaited {
        /// Who reported.
        consumer: Name,
        /// Whose generation.
        owner: Owner,
        /// Its number.
        generation: u64,
    },
    /// The trusted root is not among the objects any more.
    #[error("the root of trust, object {digest}, is gone or unreadable")]
    RootLost {
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Something of ours cannot be written as JSON.
    #[error("a document cannot be written")]
    Document(#[from] JsonError),
    /// A stored document cannot be read back.
    #[error("a stored {what} cannot be read back")]
    Stored {
        /// What it is.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The store thread is gone.
    #[error("the agent is stopping")]
    Stopping,
    /// The queue is full.
    #[error("{0} imports are waiting already")]
    Overload(usize),
    /// The process cannot be prepared.
    #[error("cannot {action}")]
    Start {
        /// What.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Explain for RuntimeError {
    fn code(&self) -> Code {
        match self {
            Self::RootLost { .. } | Self::Damaged { .. } | Self::OtherKeys { .. } | Self::Stored { .. } => {
                Code::StateDamaged
            }
            Self::NotEnrolled => Code::NotEnrolled,
            Self::AlreadyEnrolled { .. } => Code::AlreadyEnrolled,
            Self::NoRequest | Self::OtherDevice { .. } | Self::Root(_) | Self::NothingPending => Code::EnrolmentInvalid,
            Self::Jurisdiction { .. } => Code::JurisdictionMismatch,
            Self::Words => Code::WordsDiffer,
            Self::NoReceipt(_) | Self::NoFile { .. } => Code::NotFound,
            Self::NotAwaited { .. } => Code::NotAwaited,
            Self::Document(_) | Self::Start { .. } => Code::Internal,
            Self::Stopping => Code::AgentUnreachable,
            Self::Overload(_) => Code::Overload,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NoRequest => "Run `casemate-agent enrol request` first.".into(),
            Self::NothingPending => "Run `casemate-agent enrol accept` with the grant.".into(),
            Self::OtherDevice { .. } => {
                "Take the grant that answers this appliance's request; if there is only one, a file was swapped on \
                 the way: stop and report it."
                    .into()
            }
            Self::OtherKeys { .. } => {
                "Put the right identity back, or enrol the device anew with an empty state folder.".into()
            }
            Self::NoReceipt(_) => "See `casemate-agent receipts list`.".into(),
            other => other.code().remedy().into(),
        }
    }
}
