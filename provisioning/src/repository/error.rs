//! Why the repository cannot be read or written.

use std::path::PathBuf;

use casemate_protocol::canonical::JsonError;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::signed::SignedError;
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::verify::VerifyError;
use thiserror::Error;

use crate::file::FileError;
use crate::signer::KeyError;

/// Why the repository cannot be read or written.
#[derive(Debug, Error)]
pub(crate) enum RepositoryError {
    /// A file cannot be read or written.
    #[error("the repository cannot be used")]
    File(#[from] FileError),
    /// A metadata file is no signed document.
    #[error("{} is no signed document", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: SignedError,
    },
    /// A metadata file's signed part has another shape.
    #[error("{} is not the metadata its name says", path.display())]
    Shape {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file is not what the file that names it says.
    #[error("{} is not what {by} says: expected SHA-256 {expected}, found {found}", path.display())]
    Mismatch {
        /// Which.
        path: PathBuf,
        /// Which document names it.
        by: String,
        /// As named.
        expected: String,
        /// As found.
        found: String,
    },
    /// A document does not name what it must.
    #[error("{by} does not name {what}")]
    Unnamed {
        /// The document.
        by: String,
        /// What is absent.
        what: String,
    },
    /// There is no root.
    #[error("{} holds no root", .0.display())]
    NoRoot(PathBuf),
    /// The root lacks the profile.
    #[error("the root is not one of `casemate init`: x-casemate is absent")]
    NoProfile,
    /// The site and the root disagree.
    #[error("{file}:{line}: jurisdiction is {written}, the root binds {bound}")]
    Jurisdiction {
        /// `site.toml`.
        file: &'static str,
        /// Its line.
        line: usize,
        /// As written.
        written: String,
        /// As bound.
        bound: String,
    },
    /// Another process writes.
    #[error("another process holds {}", .0.display())]
    Busy(PathBuf),
    /// The version was given to other content by a run that was interrupted.
    #[error("{} exists already with other content", .0.display())]
    VersionTaken(PathBuf),
    /// A role has run out of versions.
    #[error("role {0} has reached the last version")]
    LastVersion(RoleName),
    /// Too few have signed.
    #[error("role {role} is not signed by enough keys and persons; {hint}")]
    Unsigned {
        /// Which.
        role: RoleName,
        /// Who could.
        hint: String,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// Content without a canonical form.
    #[error("the metadata cannot be encoded")]
    Encode(#[from] JsonError),
    /// The keys at hand cannot be used.
    #[error("the keys cannot be used")]
    Key(#[from] KeyError),
}

impl Explain for RepositoryError {
    fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Malformed { .. }
            | Self::Shape { .. }
            | Self::Mismatch { .. }
            | Self::Unnamed { .. }
            | Self::NoRoot(_)
            | Self::NoProfile => Code::StateDamaged,
            Self::Jurisdiction { .. } => Code::SiteInvalid,
            Self::Busy(_) => Code::StateBusy,
            Self::VersionTaken(_) => Code::PlanStale,
            Self::Unsigned { .. } => Code::SignersMissing,
            Self::LastVersion(_) | Self::Encode(_) => Code::Internal,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::File(error) => error.remedy(),
            Self::Key(error) => error.remedy(),
            Self::Malformed { .. } | Self::Shape { .. } | Self::Mismatch { .. } | Self::Unnamed { .. } => {
                "Restore the repository folder from version control or backup; nothing was changed.".into()
            }
            Self::NoRoot(_) | Self::NoProfile => "Make the site with `casemate init`, or restore it.".into(),
            Self::Busy(_) => "Wait until the other `casemate` has ended, then try again.".into(),
            Self::VersionTaken(_) => "Make a new signing request: it takes the next free version.".into(),
            Self::Jurisdiction { bound, .. } => {
                format!(
                    "Write jurisdiction = \"{bound}\": a site never moves; for another jurisdiction make another site."
                )
            }
            other => other.code().remedy().into(),
        }
    }
}
