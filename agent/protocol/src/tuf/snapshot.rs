//! The snapshot role.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::role::Version;
use super::time::UtcTime;

/// The `signed` part of `snapshot.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `snapshot`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// `1.x`.
    pub spec_version: String,
    /// Grows with every issue.
    pub version: Version,
    /// After this the snapshot is no longer newly accepted.
    pub expires: UtcTime,
    /// `<role>.json` → what that role's current metadata is, for targets and every delegated role.
    pub meta: BTreeMap<String, MetaFile>,
}

impl crate::verify::Kind for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn type_name(&self) -> &str {
        &self.kind
    }

    fn spec_version(&self) -> &str {
        &self.spec_version
    }
}

/// What one metadata file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// Its version.
    pub version: Version,
    /// Its length in bytes, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Digests by algorithm, if stated; every one of a known algorithm must match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<String, String>,
}
