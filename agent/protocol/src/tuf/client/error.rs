//! Why metadata is refused.

use thiserror::Error;

use crate::code::{Code, Explain};
use crate::digest::Digest;
use crate::signed::SignedError;
use crate::tuf::role::{RoleName, Version};
use crate::tuf::time::UtcTime;
use crate::verify::VerifyError;

/// Why a metadata document, or the state it would build on, is refused.
#[derive(Debug, Error)]
pub enum TufError {
    /// The stored root is unusable: the shell lost or damaged it.
    #[error("the stored root cannot be used")]
    StoredRoot(#[source] Box<TufError>),
    /// The stored root is not the one the floors know.
    #[error("the stored root {found} is not the accepted one of the same version, {expected}")]
    StoredRootDiffers {
        /// From the floors.
        expected: Digest,
        /// Of the stored file.
        found: Digest,
    },
    /// Roots end before the newest root ever accepted.
    #[error("roots end at version {found}, but version {floor} was accepted before")]
    RootRollback {
        /// From the floors.
        floor: Version,
        /// Reached.
        found: Version,
    },
    /// More roots in one run than anybody honest has.
    #[error("more than {0} root versions in one run")]
    RootChainTooLong(usize),
    /// Longer than the stated or allowed length.
    #[error("{role} is {found} bytes long, at most {limit} are allowed")]
    TooLong {
        /// Whose metadata.
        role: RoleName,
        /// Allowed.
        limit: u64,
        /// Found.
        found: u64,
    },
    /// No signed document.
    #[error("{role} is malformed")]
    Malformed {
        /// Whose metadata.
        role: RoleName,
        /// Why.
        #[source]
        source: SignedError,
    },
    /// Not verified.
    #[error("{role} does not verify")]
    Unverified {
        /// Whose metadata.
        role: RoleName,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// Another version than the one asked for.
    #[error("expected version {expected} of {role}, found {found}")]
    WrongVersion {
        /// Whose metadata.
        role: RoleName,
        /// Asked for.
        expected: Version,
        /// Found.
        found: Version,
    },
    /// Older than what was accepted before.
    #[error("{role} version {found} is older than version {floor}, which was accepted before")]
    Rollback {
        /// Whose metadata.
        role: RoleName,
        /// From the floors.
        floor: Version,
        /// Found or named.
        found: Version,
    },
    /// A snapshot no longer lists a role it used to list.
    #[error("the snapshot no longer lists {role}, which was listed before")]
    Dropped {
        /// The missing role.
        role: RoleName,
    },
    /// Two different documents of one version.
    #[error("{role} version {version} was accepted before with other content ({accepted}, now {found})")]
    Forked {
        /// Whose metadata.
        role: RoleName,
        /// The version both claim.
        version: Version,
        /// SHA-256 of the content accepted before.
        accepted: Digest,
        /// SHA-256 of the content now.
        found: Digest,
    },
    /// Not the bytes that the referring metadata names.
    #[error("{role} is not the file its snapshot or timestamp names: {reason}")]
    HashMismatch {
        /// Whose metadata.
        role: RoleName,
        /// In which way.
        reason: &'static str,
    },
    /// The referring metadata does not name the role.
    #[error("{role} is not listed in the {by}")]
    Unlisted {
        /// Whose metadata.
        role: RoleName,
        /// `timestamp` or `snapshot`.
        by: &'static str,
    },
    /// Not there.
    #[error("{role} is not in the repository")]
    Missing {
        /// Whose metadata.
        role: RoleName,
    },
    /// Expired.
    #[error("{role} expired at {expires}; it is judged at {now}")]
    Expired {
        /// Whose metadata.
        role: RoleName,
        /// As written.
        expires: UtcTime,
        /// The time it is judged at.
        now: UtcTime,
    },
    /// A signing time beyond the root's expiry.
    #[error("the timestamp claims to be signed at {signed_at}, after its root expires at {root_expires}")]
    SignedAhead {
        /// Claimed.
        signed_at: UtcTime,
        /// Of the root in force.
        root_expires: UtcTime,
    },
    /// Delegations that contradict themselves or TUF.
    #[error("{role} has impossible delegations: {reason}")]
    Delegations {
        /// Who delegates.
        role: RoleName,
        /// In which way.
        reason: &'static str,
    },
    /// A rule of the Casemate profile is broken.
    #[error("{role} breaks a rule of the profile: {rule}")]
    Profile {
        /// Whose metadata.
        role: RoleName,
        /// The rule.
        rule: &'static str,
    },
    /// A root of another jurisdiction than the roots before it.
    #[error("root version {version} changes the jurisdiction")]
    Jurisdiction {
        /// Of the root.
        version: Version,
    },
    /// A tenant's keys are not the ones pinned at admission.
    #[error("the keys of {role} are not the ones pinned when it was admitted")]
    Pinned {
        /// Whose keys.
        role: RoleName,
    },
    /// Bytes that nobody asked for.
    #[error("metadata was handed in although none was wanted")]
    Unwanted,
}

impl Explain for TufError {
    fn code(&self) -> Code {
        match self {
            Self::StoredRoot(_) | Self::StoredRootDiffers { .. } => Code::StateDamaged,
            Self::RootRollback { .. } | Self::RootChainTooLong(_) => Code::RootBroken,
            Self::TooLong { .. } => Code::TooLarge,
            Self::Malformed { .. } | Self::Delegations { .. } => Code::MetadataMalformed,
            Self::Unverified { source, .. } => match source {
                VerifyError::Threshold { .. } => Code::MetadataUnsigned,
                _ => Code::MetadataMalformed,
            },
            Self::WrongVersion { role, .. } if *role == RoleName::root() => Code::RootBroken,
            Self::WrongVersion { .. } | Self::HashMismatch { .. } | Self::Unlisted { .. } => Code::MetadataMixed,
            Self::Rollback { .. } | Self::Dropped { .. } => Code::MetadataRollback,
            Self::Forked { .. } => Code::MetadataForked,
            Self::Missing { .. } => Code::Missing,
            Self::Expired { .. } => Code::MetadataExpired,
            Self::SignedAhead { .. } => Code::SignedAheadOfRoot,
            Self::Profile { .. } | Self::Pinned { .. } => Code::ProfileViolation,
            Self::Jurisdiction { .. } => Code::JurisdictionMismatch,
            Self::Unwanted => Code::Internal,
        }
    }
}
