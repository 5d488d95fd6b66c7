//! Why the store refuses or fails.

use std::io;
use std::path::{Path, PathBuf};

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
    #[error("{}", no_space(path, *wanted))]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// How much; 0 if the file system did not say.
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

    fn remedy(&self) -> String {
        match self {
            Self::Busy { .. } => {
                "Another command is using it: try again when that has ended. A running agent is asked \
                                  through the socket in its configuration; name that file with --config."
                    .into()
            }
            Self::WrongUser { .. } => "While the agent runs, ask it as root; while it is stopped, run this as that \
                                       user, such as `runuser -u casemate -- casemate-agent status`. Files of another \
                                       user would lock the agent out."
                .into(),
            Self::DiskFull { wanted: 0, .. } => {
                "Free space on that file system and try again; what is recorded stays.".into()
            }
            Self::Poisoned => {
                "Free space, or see what the disk says (`journalctl -k`); then restart the agent. What it \
                               acknowledged stands."
                    .into()
            }
            other => other.code().remedy().into(),
        }
    }
}

fn no_space(path: &Path, wanted: u64) -> String {
    match wanted {
        0 => format!("no space is left for {}", path.display()),
        _ => format!("{wanted} bytes are wanted at {}", path.display()),
    }
}
