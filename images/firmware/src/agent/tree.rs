//! What the agent says about generations, and what a consumer answers.
//!
//! Unknown fields are read over: the agent may be newer than this service.

use std::collections::BTreeMap;
use std::path::PathBuf;

use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use serde::{Deserialize, Serialize};

/// `GET /v1/tree`: what `current` composes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Tree {
    /// Every owner with something current.
    pub owners: Vec<OwnerTree>,
}

/// One owner's current generation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OwnerTree {
    /// Whose.
    pub id: Owner,
    /// `probation`, `committed`, …
    pub state: String,
    /// Which generation.
    pub generation: Generation,
    /// Its folder.
    pub path: PathBuf,
    /// Its files.
    #[serde(default)]
    pub files: Vec<TreeFile>,
    /// The consumers it declares.
    #[serde(default)]
    pub consumers: BTreeMap<Name, serde::de::IgnoredAny>,
}

/// A generation's number; what else the agent says of it is not needed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Generation {
    /// Counts up, per owner.
    pub number: u64,
}

/// One file of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TreeFile {
    /// Below the generation's folder.
    pub path: FilePath,
    /// Bytes.
    pub length: u64,
    /// The id of its content, see [`casemate_protocol::bundle::part::object_id`].
    pub object: Digest,
    /// The consumer it is assigned to.
    #[serde(default)]
    pub consumer: Option<Name>,
}

/// Whether the consumer works with a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It does.
    Ready,
    /// It does not: the agent undoes the generation at once.
    Failed,
}

/// `POST /v1/consumers/{name}/reports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whose generation.
    pub owner: Owner,
    /// Its number.
    pub generation: u64,
    /// The verdict.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<crate::reason::Reason>,
}
