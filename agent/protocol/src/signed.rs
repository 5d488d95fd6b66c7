//! Signed documents before anybody has checked them.

use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::canonical::{self, JsonError};
use crate::keys::{KeyId, Signature};

/// Signatures one document may carry; the public TUF clients cap nowhere, a phone book of signatures is an attack.
pub const MAX_SIGNATURES: usize = 256;

/// A `{"signed": …, "signatures": […]}` text, parsed strictly, **not verified**.
///
/// The raw bytes stay: digests, storage and passing on use them, never a re-serialisation.
#[derive(Clone, Debug)]
pub struct Unverified {
    raw: Vec<u8>,
    signed: Value,
    signatures: Vec<Signature>,
}

/// Why a text is no signed document.
#[derive(Debug, Error)]
pub enum SignedError {
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON of another shape.
    #[error("not a signed document: {0}")]
    Shape(&'static str),
}

impl Unverified {
    /// Parses `raw`. The caller has capped its length.
    ///
    /// # Errors
    /// Not strict JSON, or not the shape of a signed document.
    pub fn parse(raw: &[u8]) -> Result<Self, SignedError> {
        let Value::Object(mut document) = canonical::parse(raw)? else {
            return Err(SignedError::Shape("the document is not an object"));
        };
        let signed = document.remove("signed").ok_or(SignedError::Shape("\"signed\" is absent"))?;
        let listed = document.remove("signatures").ok_or(SignedError::Shape("\"signatures\" is absent"))?;
        let Value::Array(listed) = listed else {
            return Err(SignedError::Shape("\"signatures\" is not a list"));
        };
        if listed.len() > MAX_SIGNATURES {
            return Err(SignedError::Shape("more than 256 signatures"));
        }
        // A signature of an unknown algorithm may have another shape: it never counts, the document may still stand.
        let signatures = listed.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect();
        Ok(Self { raw: raw.to_vec(), signed, signatures })
    }

    /// The bytes as received.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The unverified content. Only [`crate::verify`] turns it into something to act on.
    #[must_use]
    pub fn signed(&self) -> &Value {
        &self.signed
    }

    /// The signatures that have the usual shape.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

/// What a signer signs for `signed`: its canonical JSON.
///
/// # Errors
/// `signed` holds something JSON cannot (a map with non-text keys, a fraction).
pub fn message(signed: &impl Serialize) -> Result<Vec<u8>, JsonError> {
    Ok(canonical::encode(&serde_json::to_value(signed)?))
}

/// A signed document as text: compact JSON with sorted keys and a line end, so that equal content is equal bytes.
///
/// Unlike the canonical form, which is signed and never stored, this escapes control characters: it is valid JSON.
///
/// # Errors
/// As [`message`].
pub fn assemble(signed: &impl Serialize, mut signatures: Vec<Signature>) -> Result<Vec<u8>, JsonError> {
    signatures.sort_by(|a, b| a.keyid.cmp(&b.keyid));
    let document = json!({ "signatures": signatures, "signed": serde_json::to_value(signed)? });
    let mut text = serde_json::to_vec(&document)?;
    text.push(b'\n');
    Ok(text)
}

/// A signature made by `sign` over the canonical form of `signed`.
///
/// # Errors
/// As [`message`].
pub fn sign(signed: &impl Serialize, keyid: KeyId, sign: impl Fn(&[u8]) -> Vec<u8>) -> Result<Signature, JsonError> {
    let sig = crate::encoding::to_hex(&sign(&message(signed)?));
    Ok(Signature { keyid, sig })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_control_characters_is_still_json_and_signed_in_its_canonical_form() {
        let text = assemble(&json!({ "summary": "line\nline \u{1}" }), Vec::new()).unwrap();
        let document = Unverified::parse(&text).unwrap();
        assert_eq!(document.signed()["summary"], "line\nline \u{1}");
        assert_eq!(message(document.signed()).unwrap(), b"{\"summary\":\"line\nline \x01\"}");
    }
}
