//! Why the store refuses or fails.

use std::io;
use std::path::PathBuf;

use casemate_protocol::code::{Code, Explain};
use thiserror::Error;

/// Why the store refuses or fails.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process holds the lock.
    #[error("{path} is owned by another process")]
    Busy {
        /// The state folder.
        path: PathBuf,
    },
    /// Not the folder owner's user.
    #[error("{path} belongs to uid {owner}, this process runs as uid {user}")]
    WrongUser {
        /// The state folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// A file or folder could not be used.
    #[error("{action} {path} failed")]
    File {
        /// What was tried: `open`, `write`, …
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No space for another record; what is recorded stays.
    #[error("{wanted} bytes are wanted at {path}")]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// How much.
        wanted: u64,
    },
    /// Damage was found at open: changes are refused until a stated recovery.
    #[error("the state in {path} is damaged and takes no changes")]
    Quarantined {
        /// The state folder.
        path: PathBuf,
    },
    /// An earlier write failed: nobody knows what is on disk, so nothing more is acknowledged by this process.
    #[error("an earlier journal write failed; nothing more is recorded until a restart")]
    Poisoned,
    /// More in one transaction than a frame holds.
    #[error("a transaction of {found} bytes is over the limit of {limit}")]
    TooLarge {
        /// What was asked.
        found: usize,
        /// What fits.
        limit: usize,
    },
    /// A record would lower a floor although the root is the one that set it.
    #[error("a floor would fall under root version {root_version}, which set it")]
    FloorLowered {
        /// The root in force.
        root_version: u64,
    },
    /// The system gave no random bytes to salt a record with.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// A record has no JSON form.
    #[error("a record cannot be written as JSON")]
    Unwritable,
    /// Content is not what its name says.
    #[error("object {expected} has the content of {found}")]
    ObjectMismatch {
        /// The name.
        expected: casemate_protocol::digest::Digest,
        /// The content.
        found: casemate_protocol::digest::Digest,
    },
}

impl StoreError {
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, wanted: 0 },
            _ => Self::File { action, path, source },
        }
    }
}

impl Explain for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Busy { .. } => Code::StateBusy,
            Self::WrongUser { .. } => Code::WrongUser,
            Self::File { .. } | Self::Poisoned => Code::StateUnavailable,
            Self::DiskFull { .. } => Code::DiskFull,
            Self::Quarantined { .. } => Code::StateDamaged,
            Self::TooLarge { .. } | Self::FloorLowered { .. } | Self::NoRandomness | Self::Unwritable => Code::Internal,
            Self::ObjectMismatch { .. } => Code::ObjectMismatch,
        }
    }
}
