//! The only maker of [`Verified`] and the only threshold counter.
//!
//! Unverified data cannot be made [`Verified`] anywhere else:
//!
//! ```compile_fail,E0451
//! use casemate_protocol::tuf::timestamp::Timestamp;
//! use casemate_protocol::verify::Verified;
//!
//! fn forge(timestamp: Timestamp) -> Verified<Timestamp> {
//!     Verified { content: timestamp, ..unimplemented!() }
//! }
//! ```
//!
//! and what was verified cannot be changed afterwards:
//!
//! ```compile_fail,E0594
//! use casemate_protocol::tuf::timestamp::Timestamp;
//! use casemate_protocol::tuf::role::Version;
//! use casemate_protocol::verify::Verified;
//!
//! fn alter(verified: Verified<Timestamp>) {
//!     verified.get().version = Version::FIRST;
//! }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::canonical;
use crate::digest::Digest;
use crate::encoding;
use crate::keys::{KeyDocument, KeyError, KeyId, PublicKey};
use crate::signed::Unverified;
use crate::tuf::role::RoleKeys;
use crate::tuf::root::PersonToken;

/// Content whose signatures met its role's threshold, with the bytes it came in.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    content: T,
    raw: Vec<u8>,
    digest: Digest,
    content_digest: Digest,
    signers: BTreeSet<Digest>,
}

impl<T> Verified<T> {
    /// The content.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.content
    }

    /// The bytes as received: what is stored, hashed and passed on.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-256 of [`Self::raw`].
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// SHA-256 of what was signed: equal for two copies that differ only in their signatures.
    #[must_use]
    pub const fn content_digest(&self) -> Digest {
        self.content_digest
    }

    /// Fingerprints ([`PublicKey::fingerprint`]) of the keys whose signatures counted.
    #[must_use]
    pub const fn signers(&self) -> &BTreeSet<Digest> {
        &self.signers
    }
}

/// Content that says which kind of document it is.
pub trait Kind: DeserializeOwned {
    /// What `_type` must be.
    const TYPE: &'static str;

    /// What `_type` is.
    fn type_name(&self) -> &str;

    /// What `spec_version` is.
    fn spec_version(&self) -> &str;
}

/// Whether signatures must come from distinct persons too.
#[derive(Clone, Copy, Debug)]
pub enum Persons<'a> {
    /// Distinct keys are enough: a foreign repository, or a root that says `demo`.
    Ignored,
    /// Distinct persons too; a key without a person counts only at threshold 1.
    Distinct(&'a BTreeMap<KeyId, PersonToken>),
}

/// Who may sign a role.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    /// Keys of the document that names the role.
    pub keys: &'a BTreeMap<KeyId, KeyDocument>,
    /// Which of them, at most [`MAX_ROLE_KEYS`].
    pub keyids: &'a [KeyId],
    /// How many of them, at least 1.
    pub threshold: u32,
    /// Whether they must be distinct persons.
    pub persons: Persons<'a>,
}

/// Keys one role may name: more is an attempt to burn time.
pub const MAX_ROLE_KEYS: usize = 1024;

/// Why a document is not verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// Not enough trusted signatures.
    #[error("{counted} of the {threshold} needed keys and persons have signed")]
    Threshold {
        /// What counted.
        counted: u32,
        /// What is needed.
        threshold: u32,
    },
    /// A threshold of 0, or more keys than [`MAX_ROLE_KEYS`].
    #[error("the role itself is impossible: threshold {threshold}, {keys} keys")]
    Role {
        /// As written.
        threshold: u32,
        /// As written.
        keys: usize,
    },
    /// TUF forbids it, and it is how one key is made to look like several.
    #[error("two signatures name key {0}")]
    DuplicateSignature(KeyId),
    /// Signed, but not of the expected shape.
    #[error("the signed content has another shape than expected")]
    Shape(#[source] serde_json::Error),
    /// Signed as another kind of document.
    #[error("expected a {expected} document, found {found:?}")]
    Type {
        /// Wanted.
        expected: &'static str,
        /// As written.
        found: String,
    },
    /// Not TUF 1.x.
    #[error("expected specification version 1.x, found {0:?}")]
    SpecVersion(String),
}

impl<'a> Authority<'a> {
    /// The authority over `role` of a document holding `keys`.
    #[must_use]
    pub fn new(keys: &'a BTreeMap<KeyId, KeyDocument>, role: &'a RoleKeys, persons: Persons<'a>) -> Self {
        Self { keys, keyids: &role.keyids, threshold: role.threshold, persons }
    }

    /// Whether `signers` would meet the threshold: how a floor learns that those who set it lost their say.
    #[must_use]
    pub fn is_met_by(&self, signers: &BTreeSet<Digest>) -> bool {
        self.threshold > 0 && self.count(signers) >= self.threshold
    }

    /// Fingerprints of every readable key of the role.
    #[must_use]
    pub fn fingerprints(&self) -> BTreeSet<Digest> {
        self.readable().map(|(_, key)| key.fingerprint()).collect()
    }

    fn readable(&self) -> impl Iterator<Item = (&'a KeyDocument, PublicKey)> + use<'a> {
        let keys = self.keys;
        let documents = self.keyids.iter().take(MAX_ROLE_KEYS).filter_map(move |id| keys.get(id));
        documents.filter_map(|document| Some((document, PublicKey::parse(document).ok()?)))
    }

    /// The threshold counter: distinct keys among `signers` that the role names and, where persons matter and one
    /// signature is not enough, distinct persons.
    fn count(&self, signers: &BTreeSet<Digest>) -> u32 {
        let mut keys = BTreeSet::new();
        let mut persons = BTreeSet::new();
        for (document, key) in self.readable() {
            let fingerprint = key.fingerprint();
            if !signers.contains(&fingerprint) || !keys.insert(fingerprint) {
                continue;
            }
            if let Persons::Distinct(register) = self.persons {
                // By the key's own id, not by the one it is listed under: a delegator could list any.
                persons.extend(register.get(&document.keyid()));
            }
        }
        let counted = match self.persons {
            Persons::Distinct(_) if self.threshold > 1 => persons.len(),
            _ => keys.len(),
        };
        u32::try_from(counted).unwrap_or(u32::MAX)
    }

    /// Fingerprints of the role's keys that have signed `document`.
    fn signers(&self, document: &Unverified, message: &[u8]) -> Result<BTreeSet<Digest>, VerifyError> {
        if self.threshold == 0 || self.keyids.len() > MAX_ROLE_KEYS {
            return Err(VerifyError::Role { threshold: self.threshold, keys: self.keyids.len() });
        }
        let mut seen = BTreeSet::new();
        let mut signers = BTreeSet::new();
        for signature in document.signatures() {
            if !seen.insert(&signature.keyid) {
                return Err(VerifyError::DuplicateSignature(signature.keyid.clone()));
            }
            if !self.keyids.contains(&signature.keyid) {
                continue;
            }
            let key = self.keys.get(&signature.keyid).and_then(|key| PublicKey::parse(key).ok());
            let bytes = encoding::from_hex(&signature.sig).ok();
            // A signature that is wrong, empty or of an unknown algorithm does not count; it does not spoil the others.
            if let (Some(key), Some(bytes)) = (key, bytes)
                && key.verify(message, &bytes).is_ok()
            {
                signers.insert(key.fingerprint());
            }
        }
        let counted = self.count(&signers);
        if counted < self.threshold {
            return Err(VerifyError::Threshold { counted, threshold: self.threshold });
        }
        Ok(signers)
    }
}

/// Checks that every one of `authorities` has signed `document`, and reads it. A root is signed by its predecessor's
/// authority and its own, everything else by one.
///
/// # Errors
/// Too few signatures, or signed content of another shape or kind.
pub fn verify<T: Kind>(document: &Unverified, authorities: &[Authority<'_>]) -> Result<Verified<T>, VerifyError> {
    let message = canonical::encode(document.signed());
    let mut signers = BTreeSet::new();
    if authorities.is_empty() {
        return Err(VerifyError::Role { threshold: 0, keys: 0 });
    }
    for authority in authorities {
        signers.extend(authority.signers(document, &message)?);
    }
    let content: T = read(document)?;
    Ok(Verified {
        content,
        raw: document.raw().to_vec(),
        digest: Digest::of(document.raw()),
        content_digest: Digest::of(&message),
        signers,
    })
}

/// Reads a document's content without trusting it: a root names the keys it is to be verified with.
pub(crate) fn read<T: Kind>(document: &Unverified) -> Result<T, VerifyError> {
    let content = T::deserialize(document.signed()).map_err(VerifyError::Shape)?;
    if content.type_name() != T::TYPE {
        return Err(VerifyError::Type { expected: T::TYPE, found: content.type_name().chars().take(40).collect() });
    }
    let version = content.spec_version();
    if version != "1" && !version.starts_with("1.") {
        return Err(VerifyError::SpecVersion(version.chars().take(40).collect()));
    }
    Ok(content)
}

/// Checks one signature outside signed metadata: receipts, enrolment requests, health reports.
///
/// # Errors
/// The key's algorithm is unknown, the key malformed, or the signature not by it over `message`.
pub fn verify_detached(key: &KeyDocument, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
    PublicKey::parse(key)?.verify(message, signature)
}

#[cfg(test)]
mod tests;
