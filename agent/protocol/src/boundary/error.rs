//! Why a boundary document is not acceptable.

use thiserror::Error;

use super::document::{FORMAT, MAX_DOCUMENT};
use crate::canonical::JsonError;
use crate::code::{Code, Explain};
use crate::device::id::Jurisdiction;

/// A boundary document that must not come into force.
#[derive(Debug, Error)]
pub enum BoundaryError {
    /// Longer than [`MAX_DOCUMENT`].
    #[error("the document has {0} bytes, at most {MAX_DOCUMENT} are read")]
    Length(u64),
    /// Not strict JSON.
    #[error("the document cannot be parsed")]
    Json(#[from] JsonError),
    /// JSON of another shape.
    #[error("the document has another shape than {expected}")]
    Shape {
        /// The document wanted.
        expected: &'static str,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
    /// A newer format.
    #[error("format {0} is not known, only {FORMAT}")]
    Format(u32),
    /// Not a network a boundary can name.
    #[error("{text:?} is no network: {why}")]
    Network {
        /// As written.
        text: String,
        /// The rule.
        why: &'static str,
    },
    /// Not a port or a range of ports.
    #[error("{0:?} is no port or range of ports such as \"8448\" or \"8000-8010\"")]
    Ports(String),
    /// One entry breaks a rule.
    #[error("{item}: {why}")]
    Item {
        /// The entry, as text.
        item: String,
        /// The rule.
        why: &'static str,
    },
    /// More entries than allowed.
    #[error("{found} {what}, at most {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Names another boundary than its path.
    #[error("the document is boundary {found:?}, {expected:?} was expected")]
    Name {
        /// Signed for this name.
        expected: String,
        /// Says so of itself.
        found: String,
    },
    /// Another jurisdiction than the root's.
    #[error("the {whose} is of jurisdiction {found}, expected {expected}")]
    Jurisdiction {
        /// `envelope` or `boundary`.
        whose: &'static str,
        /// The root's.
        expected: Jurisdiction,
        /// Its own.
        found: Jurisdiction,
    },
    /// Goes beyond what the document above it allows.
    #[error("{item} is beyond the {outer}")]
    Wider {
        /// The entry, as text.
        item: String,
        /// `envelope` or `boundary`.
        outer: &'static str,
    },
    /// A boundary is named and the root binds no envelope, or another one.
    #[error("the root binds {expected}, found {found}")]
    Envelope {
        /// Digest in root, or `no envelope`.
        expected: String,
        /// Digest of the document, or `none`.
        found: String,
    },
}

impl Explain for BoundaryError {
    fn code(&self) -> Code {
        match self {
            Self::Wider { .. } | Self::Envelope { .. } => Code::BoundaryWider,
            _ => Code::BoundaryInvalid,
        }
    }
}
