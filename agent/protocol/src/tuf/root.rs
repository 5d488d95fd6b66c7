//! The root role, and the profile bound into it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::role::{RoleKeys, RoleName, Version};
use super::time::UtcTime;
use crate::device::id::Jurisdiction;
use crate::digest::Digest;
use crate::keys::{KeyDocument, KeyId};

/// The `signed` part of `root.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// `root`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// `1.x`.
    pub spec_version: String,
    /// One more than the root before it.
    pub version: Version,
    /// After this the root is no longer the last word on anything new.
    pub expires: UtcTime,
    /// Whether file names carry versions and digests.
    #[serde(default)]
    pub consistent_snapshot: bool,
    /// Every key of the four top-level roles.
    #[serde(deserialize_with = "crate::keys::of_known_shape")]
    pub keys: BTreeMap<KeyId, KeyDocument>,
    /// The four top-level roles.
    pub roles: BTreeMap<RoleName, RoleKeys>,
    /// What Casemate adds; absent in a foreign repository.
    #[serde(rename = "x-casemate", default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

impl crate::verify::Kind for Root {
    const TYPE: &'static str = "root";

    fn type_name(&self) -> &str {
        &self.kind
    }

    fn spec_version(&self) -> &str {
        &self.spec_version
    }
}

/// What the operator's root binds beyond TUF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// 1.
    pub format: u32,
    /// Which person holds a key; opaque tokens, the register stays at the control plane. Names keys of every role,
    /// delegated ones too.
    pub persons: BTreeMap<KeyId, PersonToken>,
    /// The jurisdiction every assignment must match.
    pub jurisdiction: Jurisdiction,
    /// SHA-256 of the boundary envelope; absent = nothing may leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Digest>,
    /// One person may do everything: for demonstrations, said in health and receipts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub demo: bool,
    /// Keys of algorithms newer than TUF's, for roles they may sign beside the known ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<KeyId, serde_json::Value>,
}

/// An opaque name for a person, made at random by the control plane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonToken(pub String);
