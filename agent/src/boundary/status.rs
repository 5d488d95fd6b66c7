//! What the enforcer says of the kernel: written by root, read by the agent, never trusted beyond its shape.

use std::path::Path;

use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

use super::foreign_file::{ForeignFileError, Owner, read};

/// Its name in the enforcer's folder.
pub const FILE: &str = "status.json";
/// `format` of what is written here.
pub const FORMAT: u32 = 1;
/// Longest one read, bytes.
const MAX_LENGTH: u64 = 16 * 1024;

/// What the kernel enforces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnforcerStatus {
    /// 1.
    pub format: u32,
    /// Digest of the policy in force.
    pub policy: Digest,
    /// The boundary it comes from; absent if none is assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Name>,
    /// Version of the role that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Whether what goes beyond it is dropped.
    pub mode: EnforcerMode,
    /// Until when it is only observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe_until: Option<UtcTime>,
    /// SHA-256 of the rules as loaded.
    pub ruleset: Digest,
    /// Why what was offered last was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<EnforcerRefusal>,
}

/// Whether what goes beyond the boundary is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcerMode {
    /// It is.
    Enforce,
    /// It is logged and let through, for a time.
    Observe,
}

/// Why an offer was not taken: the last good one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnforcerRefusal {
    /// Its code.
    pub code: Code,
}

impl EnforcerStatus {
    /// What stands in `folder`.
    ///
    /// # Errors
    /// Nothing stands there, it is not root's, or has another shape.
    pub fn read(folder: &Path) -> Result<Self, ForeignFileError> {
        read(&folder.join(FILE), Owner::Root, MAX_LENGTH, |status: &Self| status.format == FORMAT)
    }
}
