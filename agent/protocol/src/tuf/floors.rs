//! Version floors: what may never be accepted again.
//!
//! Floors decide about rollback, the cached metadata only saves a download. They are small, hold no metadata, and the
//! shell keeps them apart from it and in two places, so that a torn or rotten metadata file never opens a way back.
//!
//! A floor keeps the fingerprints of the keys that set it and falls only when these no longer meet the role's
//! threshold under the root in force: a leaked key that signed version 2^62 is undone by taking its vote away (R14).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::role::{RoleName, Version};
use super::time::UtcTime;
use crate::digest::Digest;

/// Every floor of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    /// The newest root accepted. Roots are never replaced by another of the same version and never fall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootFloor>,
    /// The newest timestamp accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<TimestampFloor>,
    /// The newest signed time accepted; absent in foreign repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeFloor>,
    /// The newest snapshot accepted, and what it lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotFloor>,
    /// Tenants' keys as they were when a tenant's metadata was first accepted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<RoleName, Pin>,
}

/// The newest root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootFloor {
    /// Its version.
    pub version: Version,
    /// SHA-256 of what was signed.
    pub content: Digest,
}

/// The newest timestamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampFloor {
    /// Its version.
    pub version: Version,
    /// SHA-256 of what was signed.
    pub content: Digest,
    /// Fingerprints of the keys that signed it.
    pub signers: BTreeSet<Digest>,
    /// The snapshot version it names: binding even if that snapshot was never seen.
    pub snapshot: Version,
}

/// The newest signed time. Timestamp keys claimed it, so taking their vote away takes the claim away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeFloor {
    /// `signed_at` of that timestamp.
    pub at: UtcTime,
    /// Fingerprints of the keys that signed it.
    pub signers: BTreeSet<Digest>,
}

/// The newest snapshot. The roles' floors live and fall with it: they belong to the snapshot keys' epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotFloor {
    /// Its version.
    pub version: Version,
    /// SHA-256 of what was signed.
    pub content: Digest,
    /// Fingerprints of the keys that signed it.
    pub signers: BTreeSet<Digest>,
    /// Targets and every delegated role it lists: a later snapshot may neither lower nor drop one.
    pub roles: BTreeMap<RoleName, RoleFloor>,
}

/// One targets role as the snapshot lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleFloor {
    /// The listed version.
    pub version: Version,
    /// SHA-256 of what was signed, once metadata of that version was accepted: another document of the same version
    /// is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
}

/// A tenant's keys at admission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// How many must sign.
    pub threshold: u32,
    /// Fingerprints of the keys.
    pub keys: BTreeSet<Digest>,
}
