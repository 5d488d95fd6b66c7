//! Why a look at a repository ends early.

use casemate_protocol::bundle::appraisal::Refusal;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use thiserror::Error;

use crate::exit::Failure;
use crate::transport::tls::TlsError;

/// Why a look at a repository ends early. Nothing is lost: what was verified stays.
#[derive(Debug, Error)]
pub(super) enum PullError {
    /// No connection that can be trusted.
    #[error("the repository is not reached")]
    Tls(#[from] TlsError),
    /// The connection broke, or was closed.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    /// Too few bytes came in too long a time.
    #[error("{path}: nothing came for too long")]
    Stalled {
        /// Of what.
        path: String,
    },
    /// What came is not HTTP.
    #[error("the answer is no HTTP")]
    Garbage(#[source] hyper::Error),
    /// An answer that cannot be used.
    #[error("{path}: {why}")]
    Answer {
        /// To what.
        path: String,
        /// Why.
        why: String,
    },
    /// It would have us go elsewhere.
    #[error("{path}: the answer is a redirect ({status})")]
    Redirected {
        /// From where.
        path: String,
        /// Its status.
        status: u16,
    },
    /// A file of another length than signed, or longer than allowed.
    #[error("{path}: {found} bytes or more, {expected} are signed or allowed")]
    Length {
        /// Which.
        path: String,
        /// How long it should be.
        expected: u64,
        /// How long it is at least.
        found: u64,
    },
    /// A file that signed metadata names is not there.
    #[error("the repository lacks {what}")]
    Absent {
        /// Its role or target path.
        what: String,
    },
    /// A file of no bytes: nothing signed is empty.
    #[error("{what} is empty")]
    Empty {
        /// Which.
        what: String,
    },
    /// A target's content is another one.
    #[error("{target}: its SHA-256 is {found}, signed is {expected}")]
    BadContent {
        /// Its target path.
        target: String,
        /// Signed.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// What is stored here does not let metadata be judged.
    #[error("metadata cannot be judged")]
    Stored(#[from] Refusal),
    /// The loop does not help.
    #[error("the agent cannot take bundles now: {}", .0.told())]
    Agent(Failure),
    /// Nobody is left to hand bundles to.
    #[error("the agent is stopping")]
    Stopping,
    /// A pipe or a file in the spool.
    #[error("the stream to the reader cannot be made")]
    Local(#[source] std::io::Error),
    /// The judge asks for what it does not name.
    #[error("the walk through the metadata does not go on")]
    Stuck,
}

impl Explain for PullError {
    fn code(&self) -> Code {
        match self {
            Self::Tls(error) => error.code(),
            Self::Broken(_) | Self::Stalled { .. } => Code::PeerUnreached,
            Self::Garbage(_) | Self::Answer { .. } | Self::Length { .. } | Self::Empty { .. } => Code::PeerMisbehaved,
            Self::Redirected { .. } => Code::RedirectIgnored,
            Self::Absent { .. } | Self::Stuck => Code::Missing,
            Self::BadContent { .. } => Code::ObjectMismatch,
            Self::Stored(refusal) => refusal.code(),
            Self::Agent(failure) => failure.code,
            Self::Local(source) if source.kind() == std::io::ErrorKind::StorageFull => Code::DiskFull,
            Self::Stopping | Self::Local(_) => Code::StateUnavailable,
        }
    }
}

impl PullError {
    /// Whether the same request may succeed on a new connection, at the byte where this one ended.
    pub(super) const fn may_resume(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Stalled { .. })
    }

    /// Whether other files may be fetched all the same.
    pub(super) const fn is_about_one_file(&self) -> bool {
        matches!(self, Self::BadContent { .. } | Self::Length { .. } | Self::Absent { .. } | Self::Empty { .. })
    }

    /// Whether it tells something of the peer; the rest is about this appliance.
    pub(super) fn is_the_peers(&self) -> bool {
        match self {
            Self::Tls(error) => error.code() != Code::TransportInvalid && error.code() != Code::Internal,
            Self::Stored(_) | Self::Agent(_) | Self::Stopping | Self::Local(_) | Self::Stuck => false,
            _ => true,
        }
    }
}
