//! The targets role and the roles it delegates to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::role::{RoleName, Version};
use super::time::UtcTime;
use crate::keys::{KeyDocument, KeyId};

/// The `signed` part of `targets.json` and of every delegated role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// `targets`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// `1.x`.
    pub spec_version: String,
    /// Grows with every issue.
    pub version: Version,
    /// After this the role's targets are no longer newly applied.
    pub expires: UtcTime,
    /// Target path → what that file is.
    pub targets: BTreeMap<String, TargetFile>,
    /// Who else may sign, for which paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

impl crate::verify::Kind for Targets {
    const TYPE: &'static str = "targets";

    fn type_name(&self) -> &str {
        &self.kind
    }

    fn spec_version(&self) -> &str {
        &self.spec_version
    }
}

/// What one target file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// Its length in bytes.
    pub length: u64,
    /// Digests by algorithm; at least one of a known algorithm, every known one must match. Ours is `sha256`.
    pub hashes: BTreeMap<String, String>,
    /// Free for the application; unused by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
}

/// Roles a targets role delegates to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegations {
    /// The delegated roles' keys.
    #[serde(deserialize_with = "crate::keys::of_known_shape")]
    pub keys: BTreeMap<KeyId, KeyDocument>,
    /// Delegations in order of priority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<DelegatedRole>,
    /// Delegation to hashed bins (TAP 15), instead of `roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succinct_roles: Option<SuccinctRoles>,
}

/// One delegation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedRole {
    /// The role.
    pub name: RoleName,
    /// Who signs it.
    pub keyids: Vec<KeyId>,
    /// How many of them.
    pub threshold: u32,
    /// Whether the search ends here for the paths it owns.
    pub terminating: bool,
    /// Path patterns; `*` and `?` do not cross `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Prefixes of the SHA-256 of the path, instead of `paths`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hash_prefixes: Option<Vec<String>>,
}

/// 2^`bit_length` bins that share keys (TAP 15).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccinctRoles {
    /// Who signs every bin.
    pub keyids: Vec<KeyId>,
    /// How many of them.
    pub threshold: u32,
    /// 1 to 32.
    pub bit_length: u32,
    /// Bin `n` is role `<name_prefix>-<n in hexadecimal>`.
    pub name_prefix: String,
}
