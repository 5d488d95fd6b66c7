//! What an archive member may be called.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::tuf::role::{RoleName, Version};

/// Longest member name, bytes: ustar's `name` field. `prefix` stays empty.
pub(super) const MAX_NAME: usize = 100;

/// The folder of metadata members.
const METADATA: &str = "metadata/";
/// The folder of object members.
const OBJECTS: &str = "objects/";
/// The list of objects the bundle expects the appliance to hold.
const PRESUMES: &str = "presumes.json";

/// One member, as its header announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is.
    pub kind: MemberKind,
    /// Bytes of content, at least 1.
    pub length: u64,
}

/// What a member is; nothing else has a name in this format.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberKind {
    /// `metadata/<version>.<role>.json`.
    Metadata {
        /// The role.
        role: RoleName,
        /// Its version.
        version: Version,
    },
    /// `objects/<sha256>`.
    Object {
        /// SHA-256 of the content.
        digest: Digest,
    },
    /// `presumes.json`.
    Presumes,
}

/// A text that names no member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no member name: metadata/<version>.<role>.json, objects/<sha256> or presumes.json, at most 100 bytes"
)]
pub struct MemberName(pub(super) String);

impl fmt::Display for MemberKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata { role, version } => write!(f, "{METADATA}{version}.{role}.json"),
            Self::Object { digest } => write!(f, "{OBJECTS}{digest}"),
            Self::Presumes => f.write_str(PRESUMES),
        }
    }
}

impl FromStr for MemberKind {
    type Err = MemberName;

    /// The kind whose one spelling is `text`.
    fn from_str(text: &str) -> Result<Self, MemberName> {
        let refuse = || MemberName(text.chars().take(MAX_NAME).collect());
        let kind = if text == PRESUMES {
            Self::Presumes
        } else if let Some(hexadecimal) = text.strip_prefix(OBJECTS) {
            Self::Object { digest: hexadecimal.parse().map_err(|_| refuse())? }
        } else {
            metadata(text).ok_or_else(refuse)?
        };
        // A leading zero or plus sign would be a second spelling of a version.
        if text.len() <= MAX_NAME && kind.to_string() == text { Ok(kind) } else { Err(refuse()) }
    }
}

fn metadata(text: &str) -> Option<MemberKind> {
    let (version, role) = text.strip_prefix(METADATA)?.strip_suffix(".json")?.split_once('.')?;
    let version = Version::new(version.parse().ok()?)?;
    Some(MemberKind::Metadata { role: RoleName::strict(role).ok()?, version })
}
