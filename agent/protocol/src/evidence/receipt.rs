//! Receipts: what an appliance did with a bundle, refusals included (R19).
//!
//! An in-toto Statement v1 whose subject is the snapshot (pull has no archive, so the archive's digest is only an
//! extra), in a DSSE envelope signed by the device's receipts key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::device::id::{ApplianceId, Jurisdiction, Owner};
use crate::digest::Digest;
use crate::tuf::time::UtcTime;

/// in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Our predicate.
pub const PREDICATE_TYPE: &str = "urn:casemate:receipt:1";
/// DSSE payload type of an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about: one entry.
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What happened.
    pub predicate: Receipt,
}

/// What a receipt is about: `timestamp/<version>` with the snapshot's SHA-256, or, before a verified snapshot,
/// `input` with the SHA-256 of the bytes offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `timestamp/<version>` or `input`.
    pub name: String,
    /// `sha256` → digest.
    pub digest: BTreeMap<String, Digest>,
}

/// The predicate. Codes, numbers and digests only; no personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Who says so.
    pub appliance: ApplianceId,
    /// Where it lives.
    pub jurisdiction: Jurisdiction,
    /// Fingerprint of its device keys.
    pub device: Digest,
    /// Counts this appliance's receipts from 1: gaps show.
    pub sequence: u64,
    /// The worst of the owners' codes, or the refusal.
    pub code: Code,
    /// What became of each owner.
    pub owners: Vec<OwnerOutcome>,
    /// How many times the same refusal came in this period; 1 for an outcome.
    pub count: u64,
    /// SHA-256 of the archive, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Digest>,
    /// Version of the root in force.
    pub root_version: u64,
    /// The root allows one person to do everything.
    pub demo: bool,
    /// When, as far as the clock can be believed.
    pub time: UtcTime,
    /// How far that is.
    pub clock: ClockQuality,
    /// The journal's tree when this was written.
    pub journal: JournalPosition,
}

/// What became of one owner's part of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerOutcome {
    /// Whose.
    pub id: Owner,
    /// What happened.
    pub code: Code,
    /// Generation before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<GenerationRef>,
    /// Generation after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<GenerationRef>,
}

/// One generation by number and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationRef {
    /// Counts this owner's generations on this appliance from 1.
    pub number: u64,
    /// Version of the owner's role it came from.
    pub version: u64,
    /// SHA-256 of its manifest.
    pub manifest: Digest,
}

/// How far the wall clock can be believed (R37).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockQuality {
    /// Between the signed floor and the allowed span beyond it.
    Plausible,
    /// Behind the floor or too far ahead.
    Untrusted,
}

/// A position in the journal's Merkle tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalPosition {
    /// Entries.
    pub size: u64,
    /// RFC 6962 tree head over them.
    pub root: Digest,
}
