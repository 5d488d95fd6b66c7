//! Receipts: what an appliance did with a bundle, refusals included (R19).
//!
//! An in-toto Statement v1 whose subject is the snapshot (pull has no archive, so the archive's digest is only an
//! extra), in a DSSE envelope signed by the device's receipts key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::dsse::{DsseError, Envelope};
use crate::canonical::{self, JsonError};
use crate::code::{Class, Code, Explain};
use crate::device::id::{ApplianceId, Jurisdiction, Owner};
use crate::device::key::{DeviceKey, DeviceKeyError};
use crate::digest::Digest;
use crate::keys::{KeyDocument, KeyId};
use crate::signed;
use crate::tuf::role::Version;
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
    /// What became of the boundary, where it changed or a document of it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<BoundaryOutcome>,
    /// How the bundle came; absent in aggregates of refusals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
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

/// How a bundle came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A file or folder that somebody named on the appliance.
    Local,
    /// A stick.
    Stick,
    /// Sent to the listener.
    Push,
    /// Fetched from a repository.
    Pull,
    /// By a broker.
    Mqtt,
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

/// What became of the boundary in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundaryOutcome {
    /// What happened.
    pub code: Code,
    /// Digest of the policy in force before; absent if there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Digest of the policy in force after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Digest>,
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

impl Subject {
    /// A verified snapshot, named by the timestamp that led to it.
    #[must_use]
    pub fn snapshot(timestamp: Version, snapshot: Digest) -> Self {
        Self { name: format!("timestamp/{timestamp}"), digest: BTreeMap::from([("sha256".into(), snapshot)]) }
    }

    /// Input that never became a verified snapshot.
    #[must_use]
    pub fn input(content: Digest) -> Self {
        Self { name: "input".into(), digest: BTreeMap::from([("sha256".into(), content)]) }
    }
}

/// The overall code of a bundle: the worst of its owners' codes. Where all went well, a change outweighs none.
#[must_use]
pub fn overall(owners: &[OwnerOutcome]) -> Code {
    overall_with(owners, None)
}

/// As [`overall`], with what became of the boundary.
#[must_use]
pub fn overall_with(owners: &[OwnerOutcome], boundary: Option<&BoundaryOutcome>) -> Code {
    let rank = |code: &Code| (code.class(), code.class() == Class::Done && *code != Code::AlreadyApplied);
    let codes = owners.iter().map(|owner| owner.code).chain(boundary.map(|boundary| boundary.code));
    let worst = codes.max_by_key(rank).unwrap_or(Code::AlreadyApplied);
    if worst == Code::Removed { Code::Applied } else { worst }
}

impl Statement {
    /// The statement that `receipt` is about `subject`.
    #[must_use]
    pub fn new(subject: Subject, receipt: Receipt) -> Self {
        Self {
            kind: STATEMENT_TYPE.into(),
            subject: vec![subject],
            predicate_type: PREDICATE_TYPE.into(),
            predicate: receipt,
        }
    }

    /// The statement in its envelope, as text: canonical JSON and a line end.
    ///
    /// # Errors
    /// Never for a statement of [`Self::new`].
    pub fn seal(&self, keyid: KeyId, sign: impl Fn(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, JsonError> {
        Envelope::seal(PAYLOAD_TYPE, &signed::message(self)?, keyid, sign).to_bytes()
    }
}

/// A statement that the enrolled device signed. [`verify`] alone makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedStatement(Statement);

impl VerifiedStatement {
    /// The statement.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.0
    }

    /// What happened.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.0.predicate
    }
}

/// Why a receipt is not acceptable.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// The enrolled key cannot be used.
    #[error("the enrolled receipts key cannot be used")]
    Key(#[source] DeviceKeyError),
    /// The envelope is malformed or not signed by the key.
    #[error("the receipt's envelope cannot be opened")]
    Envelope(#[from] DsseError),
    /// The signed payload is not strict JSON.
    #[error("the receipt's statement cannot be parsed")]
    Json(#[from] JsonError),
    /// The signed payload has another shape.
    #[error("the receipt's statement has another shape than {PREDICATE_TYPE}")]
    Shape(#[source] serde_json::Error),
    /// The signed payload states something else.
    #[error("expected {expected:?} as {field}, the statement has {found:?}")]
    Kind {
        /// Which member.
        field: &'static str,
        /// Wanted.
        expected: &'static str,
        /// Found.
        found: String,
    },
    /// Not exactly one subject.
    #[error("expected one subject, the statement has {0}")]
    Subjects(usize),
}

impl Explain for ReceiptError {
    fn code(&self) -> Code {
        Code::ReceiptInvalid
    }
}

/// Opens an envelope and checks that the device whose receipts key is `key` made the statement inside.
///
/// # Errors
/// A malformed envelope or statement, or no signature by `key`.
pub fn verify(raw: &[u8], key: &KeyDocument) -> Result<VerifiedStatement, ReceiptError> {
    let key = DeviceKey::new(key).map_err(ReceiptError::Key)?;
    let payload = Envelope::parse(raw)?.open(PAYLOAD_TYPE, &key)?;
    let statement: Statement = serde_json::from_value(canonical::parse(&payload)?).map_err(ReceiptError::Shape)?;
    let brief = |text: &str| text.chars().take(80).collect();
    if statement.kind != STATEMENT_TYPE {
        return Err(ReceiptError::Kind { field: "_type", expected: STATEMENT_TYPE, found: brief(&statement.kind) });
    }
    if statement.predicate_type != PREDICATE_TYPE {
        let found = brief(&statement.predicate_type);
        return Err(ReceiptError::Kind { field: "predicateType", expected: PREDICATE_TYPE, found });
    }
    if statement.subject.len() != 1 {
        return Err(ReceiptError::Subjects(statement.subject.len()));
    }
    Ok(VerifiedStatement(statement))
}

#[cfg(test)]
mod tests;
