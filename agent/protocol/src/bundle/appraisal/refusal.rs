//! Why a bundle, or one owner's part of it, is not acted on.

use thiserror::Error;

use crate::bundle::archive::ArchiveError;
use crate::bundle::terms::TermsError;
use crate::code::{Code, Explain};
use crate::device::id::{ApplianceId, Jurisdiction};
use crate::digest::Digest;
use crate::tuf::client::TufError;
use crate::tuf::role::{RoleName, Version};

/// Why a whole bundle is refused. Nothing changes but, at most, the chain of roots.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The bytes are no archive.
    #[error("the archive is malformed")]
    Archive(#[from] ArchiveError),
    /// The repository's metadata is refused.
    #[error("the metadata is refused")]
    Metadata(#[from] TufError),
    /// Roots are not one chain.
    #[error("after root version {after} comes {found}")]
    RootGap {
        /// The last one known.
        after: Version,
        /// The next one in the archive.
        found: Version,
    },
    /// A metadata member does not hold the version its name says, or not the one signed metadata names.
    #[error("metadata of {role}: version {found} found, {expected} expected")]
    Version {
        /// Whose.
        role: RoleName,
        /// Expected.
        expected: Version,
        /// Found.
        found: Version,
    },
    /// The role that would list the assignment does not verify.
    #[error("role {role} does not verify: {why}")]
    Bin {
        /// Which.
        role: RoleName,
        /// Its own code.
        code: Code,
        /// The client's words.
        why: String,
    },
    /// A member that nothing signed lists, or at the wrong place, or twice.
    #[error("member {member}: {why}")]
    Unexpected {
        /// Its name.
        member: String,
        /// What rule it breaks.
        why: &'static str,
    },
    /// A member is not as long as signed metadata says, or longer than the limit for its kind.
    #[error("member {member} is {found} bytes long, {limit} are signed or allowed")]
    Length {
        /// Its name.
        member: String,
        /// What the header says.
        found: u64,
        /// What may be.
        limit: u64,
    },
    /// More of something than the format allows.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many may be.
        limit: u64,
    },
    /// A content does not hash to its name.
    #[error("the content of objects/{expected} hashes to {found}")]
    Content {
        /// The name.
        expected: Digest,
        /// What the content hashes to.
        found: Digest,
    },
    /// The bundle holds no assignment for this appliance.
    #[error("the bundle does not address {appliance}")]
    NotAddressed {
        /// The appliance.
        appliance: ApplianceId,
    },
    /// There is an assignment under this appliance's name, but not for this device.
    #[error("the assignment of {appliance} is for the device {found}, this one is {expected}")]
    OtherDevice {
        /// The appliance.
        appliance: ApplianceId,
        /// This device's fingerprint.
        expected: Digest,
        /// The assignment's.
        found: Digest,
    },
    /// The assignment is not what the format says.
    #[error("the assignment {target} is malformed: {why}")]
    Assignment {
        /// Its target path.
        target: String,
        /// What is wrong.
        why: String,
    },
    /// Root, assignment and appliance name different jurisdictions.
    #[error("the {whose} says jurisdiction {found}, expected {expected}")]
    Jurisdiction {
        /// `root` or `assignment`.
        whose: &'static str,
        /// What it should be.
        expected: Jurisdiction,
        /// What it says.
        found: Jurisdiction,
    },
    /// `presumes.json` is not what the format says.
    #[error("presumes.json is malformed: {0}")]
    Presumes(String),
    /// Wanted, and neither in the archive nor held. The first one, and how many there are.
    #[error("{count} wanted members are neither in the bundle nor held, the first is {first}")]
    Missing {
        /// The first one's member name or role.
        first: String,
        /// How many.
        count: usize,
    },
}

/// Why one owner's part of a bundle is not acted on; the other owners are not affected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OwnerRefusal {
    /// The owner's role does not verify.
    #[error("role {role} does not verify: {why}")]
    Unverified {
        /// The role.
        role: RoleName,
        /// The role's own code.
        code: Code,
        /// The client's words.
        why: String,
    },
    /// The role verifies, but lists no manifest.
    #[error("role {role} lists no manifest")]
    NoManifest {
        /// The role.
        role: RoleName,
    },
    /// The manifest is malformed or contradicts the owner's signed targets.
    #[error("the manifest {target} is invalid: {why}")]
    Manifest {
        /// Its target path.
        target: String,
        /// What is wrong.
        why: String,
    },
    /// All owners together want more parts than an appliance takes from one bundle, and this one most.
    #[error("the files of role {role} have {found} parts, at most {limit} are allowed for all owners together")]
    TooManyParts {
        /// The role.
        role: RoleName,
        /// How many.
        found: usize,
        /// How many may be.
        limit: usize,
    },
    /// What the tenant leaves of its flows is malformed, or more than the boundary gives it.
    #[error("{target}: {why}")]
    Boundary {
        /// Its target path.
        target: String,
        /// Which of the two.
        code: Code,
        /// What is wrong.
        why: String,
    },
    /// The manifest's conditions are malformed, or this version cannot meet them.
    #[error("the manifest {target} asks for what cannot be done")]
    Terms {
        /// Its target path.
        target: String,
        /// What.
        #[source]
        source: TermsError,
    },
}

impl Explain for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::Archive(error) => error.code(),
            Self::Metadata(error) => error.code(),
            Self::RootGap { .. } => Code::RootBroken,
            Self::Version { .. } => Code::MetadataMixed,
            Self::Bin { code, .. } => *code,
            Self::Unexpected { .. } => Code::MemberUnexpected,
            Self::Length { .. } | Self::TooMany { .. } => Code::TooLarge,
            Self::Content { .. } => Code::ObjectMismatch,
            Self::NotAddressed { .. } => Code::NotAddressed,
            Self::OtherDevice { .. } | Self::Assignment { .. } => Code::AssignmentInvalid,
            Self::Jurisdiction { .. } => Code::JurisdictionMismatch,
            Self::Presumes(_) => Code::ArchiveMalformed,
            Self::Missing { .. } => Code::Missing,
        }
    }
}

impl Explain for OwnerRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Unverified { .. } | Self::NoManifest { .. } => Code::OwnerUnverified,
            Self::Manifest { .. } => Code::ManifestInvalid,
            Self::TooManyParts { .. } => Code::TooLarge,
            Self::Boundary { code, .. } => *code,
            Self::Terms { source, .. } => source.code(),
        }
    }
}

/// `error` with everything it rests on, as one text.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}
