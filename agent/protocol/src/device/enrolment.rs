//! Enrolment: a request file out, a grant file back, the same words on both sides.
//!
//! Neither file is secret and neither is trusted: whoever can swap them is caught by the words, which cover every
//! device key, the id, the jurisdiction and the root. Somebody compares them over another channel.

use serde::{Deserialize, Serialize};

use super::id::{ApplianceId, Jurisdiction};
use crate::digest::Digest;
use crate::encoding;
use crate::keys::KeyDocument;
use crate::{canonical, keys::Signature};

/// Longest request or grant read, bytes.
pub const MAX_ENROLMENT_FILE: u64 = 1024 * 1024;

/// Words shown to people. Both sides' inputs can be chosen by whoever carries the files, so it is collisions that
/// count, not preimages: 192 bits leave 96.
const WORD_BYTES: usize = 24;

/// An appliance's public keys, one for each purpose. Private halves never leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceKeys {
    /// Signs receipts and health.
    pub receipts: KeyDocument,
    /// Authenticates connections.
    pub tls: KeyDocument,
    /// Opens what is sealed to this appliance.
    pub unsealing: KeyDocument,
}

impl DeviceKeys {
    /// SHA-256 over the three keys' canonical JSON: the device's identity.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let fingerprints = [&self.receipts, &self.tls, &self.unsealing].map(KeyDocument::fingerprint);
        Digest::of(fingerprints.map(|digest| *digest.as_bytes()).as_flattened())
    }
}

/// What an appliance asks, in `<name>.req`. Signed by the receipts key over the canonical form without `signature`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// The signed part.
    pub request: RequestBody,
    /// By [`DeviceKeys::receipts`], over the canonical JSON of `request`.
    pub signature: Signature,
}

/// The signed part of an [`EnrolmentRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    /// `casemate-enrolment-request`.
    pub kind: String,
    /// 1.
    pub format: u32,
    /// The device's keys.
    pub keys: DeviceKeys,
}

/// What the control plane answers, in `<name>.grant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentGrant {
    /// `casemate-enrolment-grant`.
    pub kind: String,
    /// 1.
    pub format: u32,
    /// The appliance's id from now on.
    pub appliance: ApplianceId,
    /// Its jurisdiction.
    pub jurisdiction: Jurisdiction,
    /// [`DeviceKeys::fingerprint`] of the request this answers.
    pub device: Digest,
    /// The root metadata to start from, base64 of its exact bytes.
    pub root: String,
}

/// `kind` of a request.
pub const REQUEST_KIND: &str = "casemate-enrolment-request";
/// `kind` of a grant.
pub const GRANT_KIND: &str = "casemate-enrolment-grant";

/// The words both sides show: 12 of 16 bits each over everything that must not be swapped.
///
/// # Source
/// R02; the domain prefix keeps the digest from meaning anything elsewhere.
#[must_use]
pub fn words(device: Digest, id: &ApplianceId, jurisdiction: Jurisdiction, root: Digest) -> Vec<String> {
    let body = serde_json::json!({
        "kind": "casemate-enrolment-words-1", "appliance": id, "device": device,
        "jurisdiction": jurisdiction, "root": root,
    });
    encoding::to_words(&Digest::of(&canonical::encode(&body)).as_bytes()[..WORD_BYTES])
}
