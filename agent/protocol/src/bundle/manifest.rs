//! An owner's signed statement of what its subtree is: the target `<tree>/manifest.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::probe::Probe;
use crate::device::id::{Name, Owner};

/// Longest manifest read, bytes.
pub const MAX_MANIFEST: u64 = 8 * 1024 * 1024;
/// Files one manifest may list.
pub const MAX_FILES: usize = 65_536;

/// The content of `<tree>/manifest.json` or `<tree>/appliances/<id>/manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// Whose subtree; must be the role that signed it.
    pub owner: Owner,
    /// What signers were shown.
    pub summary: String,
    /// Files, sorted by path, each path once.
    pub files: Vec<FileEntry>,
    /// How and when to apply.
    #[serde(default, skip_serializing_if = "Apply::is_plain")]
    pub apply: Apply,
    /// Services that must work with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consumers: BTreeMap<Name, Consumer>,
}

/// One file of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Where it stands in the generation: relative, see [`super::target_path::FilePath`].
    pub path: super::target_path::FilePath,
    /// Its whole length in bytes.
    pub length: u64,
    /// Its parts in order, without gap; one for files up to 64 MiB. Empty only for an empty file.
    pub parts: Vec<super::part::Part>,
    /// The consumer that reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Name>,
}

/// How and when a generation is applied, as written; [`Manifest::terms`] says what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Maintenance window, `Sun 02:00-05:00` (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Time for confirmation, `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// For how long probes must hold without a break, `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// What must confirm: `consumers`, `control-plane`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirm: Vec<String>,
    /// What must hold on the appliance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
}

impl Apply {
    /// Nothing is asked: switch at once, commit at once.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// One service that reads the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// systemd unit; absent if the service follows the local API itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What the unit needs to take a change up.
    #[serde(default)]
    pub on_change: OnChange,
    /// Readiness URL on loopback; a probe, if consumers are waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
}

/// What a unit needs to take a change up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// A restart.
    Restart,
    /// A reload.
    Reload,
    /// Nothing: it looks by itself.
    #[default]
    None,
}

impl Manifest {
    /// The owner's manifest for all its appliances.
    #[must_use]
    pub fn target_path(owner: &Owner) -> String {
        format!("{}/manifest.json", owner.tree())
    }

    /// The manifest that, where listed, replaces [`Self::target_path`] on one appliance.
    #[must_use]
    pub fn appliance_target_path(owner: &Owner, appliance: &Name) -> String {
        format!("{}/appliances/{appliance}/manifest.json", owner.tree())
    }
}
