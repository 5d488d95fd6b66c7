//! What all roles share: names, versions, thresholds.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::keys::KeyId;

/// The spec version we write; any `1.x` is read.
pub const SPEC_VERSION: &str = "1.0.34";

/// A metadata version: 1 to 2^63 − 1. Zero is no version, and beyond 2^63 other clients overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(NonZeroU64);

impl Version {
    /// Version 1.
    pub const FIRST: Self = Self(NonZeroU64::MIN);
    const LAST: u64 = i64::MAX as u64;

    /// `number` as a version, if it is one.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).filter(|number| number.get() <= Self::LAST).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The version after this one, unless this is the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::new(self.get() + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Self::new(number)
            .ok_or_else(|| serde::de::Error::custom(format_args!("version {number} is outside 1 to 2^63-1")))
    }
}

/// A role's name: `root`, `timestamp`, `snapshot`, `targets` or a delegated role.
///
/// Foreign repositories use any text without `/` on disk only after quoting; the profile's own rule (no `/`) is
/// held where the profile applies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoleName(String);

/// Why a text is no role name of the profile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no role name: 1 to 128 characters of a-z, 0-9, '.', '-', '_', not starting with '.' or '-'")]
pub struct RoleNameError(String);

impl RoleName {
    /// `root`.
    #[must_use]
    pub fn root() -> Self {
        Self("root".into())
    }

    /// `timestamp`.
    #[must_use]
    pub fn timestamp() -> Self {
        Self("timestamp".into())
    }

    /// `snapshot`.
    #[must_use]
    pub fn snapshot() -> Self {
        Self("snapshot".into())
    }

    /// `targets`.
    #[must_use]
    pub fn targets() -> Self {
        Self("targets".into())
    }

    /// A role name as a foreign repository may write it: any text.
    #[must_use]
    pub fn foreign(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A role name of the profile: safe as a file name and in a log line.
    ///
    /// # Errors
    /// Characters, length or start outside the rule.
    pub fn strict(text: &str) -> Result<Self, RoleNameError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['.', '-']) {
            Ok(Self(text.into()))
        } else {
            Err(RoleNameError(text.chars().take(80).collect()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name's entry in a snapshot's `meta`: `<name>.json`.
    #[must_use]
    pub fn meta_name(&self) -> String {
        format!("{}.json", self.0)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who signs a role, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    /// The keys that count; one named twice counts once.
    pub keyids: Vec<KeyId>,
    /// How many of them must have signed, at least 1.
    pub threshold: u32,
}
