//! Why an offer is not accepted, or cannot be written.

use thiserror::Error;

use super::MAX_OFFER;
use crate::bundle::appraisal::{BoundaryRefusal, Refusal};
use crate::bundle::archive::WriterError;
use crate::code::{Code, Explain};
use crate::tuf::client::TufError;
use crate::tuf::role::RoleName;

/// An offer that must not come into force.
#[derive(Debug, Error)]
pub enum OfferError {
    /// Longer than [`MAX_OFFER`].
    #[error("the offer has {0} bytes, at most {MAX_OFFER} are allowed")]
    Length(u64),
    /// The enforcer's own anchor cannot be read.
    #[error("the anchor is malformed: {why}")]
    Anchor {
        /// What is wrong.
        why: String,
    },
    /// The anchor's root is no root, or not the one the floors know.
    #[error("the anchor's root is refused")]
    Root(#[source] TufError),
    /// The archive, its metadata or its assignment are refused.
    #[error("the offer is refused")]
    Refused(#[from] Refusal),
    /// The boundary it brings is refused.
    #[error("the boundary in the offer is refused")]
    Boundary(#[from] BoundaryRefusal),
    /// To be written: metadata whose version cannot be read.
    #[error("metadata of {role} has no readable version")]
    Metadata {
        /// Whose.
        role: RoleName,
    },
    /// To be written: a member that fits no archive.
    #[error("the offer cannot be written")]
    Writer(#[from] WriterError),
}

impl Explain for OfferError {
    fn code(&self) -> Code {
        match self {
            Self::Length(_) => Code::TooLarge,
            Self::Anchor { .. } => Code::EnrolmentInvalid,
            Self::Root(error) => error.code(),
            Self::Refused(error) => error.code(),
            Self::Boundary(error) => error.code(),
            Self::Metadata { .. } => Code::MetadataMalformed,
            Self::Writer(error) => error.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Anchor { .. } => "Run `casemate-agent boundary pin` with the appliance's grant again.".into(),
            other => other.code().remedy().into(),
        }
    }
}
