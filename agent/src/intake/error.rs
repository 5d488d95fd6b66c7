//! Why an import ends without a verdict.

use std::io::ErrorKind;
use std::path::PathBuf;

use casemate_protocol::bundle::appraisal::Wanted;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::Version;
use thiserror::Error;

use crate::exit::OUT_OF_SIGHT;

/// What a refusal is about and what may be kept in spite of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Raw roots the bundle proved, oldest first.
    pub roots: Vec<Vec<u8>>,
    /// Timestamp version and snapshot digest, if the refusal came after they verified.
    pub snapshot: Option<(Version, Digest)>,
    /// SHA-256 of the whole input, if it came before.
    pub input: Option<Digest>,
    /// Where something is `missing`: everything the bundle wants, for [`super::Launcher::harvest`] to look for in
    /// others.
    pub wanted: Vec<Wanted>,
}

/// Why an import ends without a verdict.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// The bundle is refused.
    #[error("{text}")]
    Refused {
        /// The code.
        code: Code,
        /// In words.
        text: String,
        /// What may be kept.
        remains: Box<Remains>,
    },
    /// The input cannot be opened or read.
    #[error("cannot read {path}")]
    Input {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The input is neither a regular file nor a pipe.
    #[error("{path} is no regular file")]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// The input changed while it was read.
    #[error("{path} changed while it was being read")]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// The staging file system is too full. Nothing was changed but what was already staged.
    #[error("{wanted} bytes are needed in {path}, {free} are free above the reserve")]
    DiskFull {
        /// The staging folder.
        path: PathBuf,
        /// Bytes needed.
        wanted: u64,
        /// Bytes free.
        free: u64,
        /// The objects the bundle wants; none if that is not known.
        objects: Vec<Digest>,
    },
    /// The staging folder cannot be used.
    #[error("cannot use the staging folder {path}")]
    Staging {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It was ended for something else.
    #[error("the import gave way to one that cannot wait")]
    GaveWay,
    /// The child died or broke the protocol.
    #[error("the sandboxed reader failed: {0}")]
    Child(String),
}

impl Explain for IntakeError {
    fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Input { .. } | Self::NoFile { .. } => Code::InputUnreadable,
            Self::Changed { .. } => Code::InputChanged,
            Self::DiskFull { .. } => Code::DiskFull,
            Self::Staging { .. } => Code::StateUnavailable,
            Self::GaveWay => Code::Overload,
            Self::Child(_) => Code::IntakeFailed,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::DiskFull { wanted, free, .. } => {
                format!("Free at least {} bytes and try again; nothing was changed.", wanted.saturating_sub(*free))
            }
            Self::Input { source, .. } if source.kind() == ErrorKind::PermissionDenied => OUT_OF_SIGHT.into(),
            _ => self.code().remedy().into(),
        }
    }
}
