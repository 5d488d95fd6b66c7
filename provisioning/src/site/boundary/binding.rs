//! Whether the site's envelope is the one root binds.

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use thiserror::Error;

use super::envelope;
use super::folder::Boundaries;
use super::policy;

/// The site's boundary folder and its root disagree.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum BindingError {
    /// A boundary, and a root that lets none be.
    #[error("{} is a boundary, and the root binds no envelope", policy::file(.0))]
    Unbound(Name),
    /// An envelope, and a root without.
    #[error("{} is an envelope (SHA-256 {found}), and the root binds none", envelope::FILE)]
    Unexpected {
        /// Of the file's canonical form.
        found: Digest,
    },
    /// Another envelope.
    #[error("{} is not the envelope the root binds: expected SHA-256 {expected}, found {found}", envelope::FILE)]
    Changed {
        /// In root.
        expected: Digest,
        /// Of the file's canonical form.
        found: Digest,
    },
    /// No envelope.
    #[error("{} is absent; the root binds the envelope with SHA-256 {expected}", envelope::FILE)]
    Absent {
        /// In root.
        expected: Digest,
    },
}

impl Explain for BindingError {
    fn code(&self) -> Code {
        Code::BoundaryWider
    }

    fn remedy(&self) -> String {
        let new_root = "another envelope needs a new root, which no command makes yet";
        match self {
            Self::Unbound(_) | Self::Unexpected { .. } => {
                format!(
                    "Nothing may leave appliances of this root. `casemate init --envelope FILE` binds an envelope when a site is made; {new_root}."
                )
            }
            Self::Changed { .. } | Self::Absent { .. } => {
                format!("Restore {} from version control; {new_root}.", envelope::FILE)
            }
        }
    }
}

/// Checks that `bound`, the root's, is the envelope of `boundaries`.
///
/// # Errors
/// They differ, or one is there without the other.
pub(crate) fn check(boundaries: &Boundaries, bound: Option<Digest>) -> Result<(), BindingError> {
    let found = boundaries.envelope.as_ref().map(|file| file.digest);
    match (bound, found) {
        (Some(expected), Some(found)) if expected == found => Ok(()),
        (Some(expected), Some(found)) => Err(BindingError::Changed { expected, found }),
        (Some(expected), None) => Err(BindingError::Absent { expected }),
        (None, found) => match (boundaries.named.keys().next(), found) {
            (Some(name), _) => Err(BindingError::Unbound(name.clone())),
            (None, Some(found)) => Err(BindingError::Unexpected { found }),
            (None, None) => Ok(()),
        },
    }
}
