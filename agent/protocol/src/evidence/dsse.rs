//! DSSE envelopes (Dead Simple Signing Envelope 1.0).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::canonical::{self, JsonError};
use crate::device::key::DeviceKey;
use crate::encoding;
use crate::keys::KeyId;

/// Longest envelope read, bytes.
pub const MAX_ENVELOPE: u64 = 1024 * 1024;

/// Signatures read from one envelope.
pub const MAX_SIGNATURES: usize = 16;

/// An envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Base64 of the payload.
    pub payload: String,
    /// Media type of the payload.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// Signatures over [`pre_authentication_encoding`].
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// Whose.
    pub keyid: KeyId,
    /// Base64.
    pub sig: String,
}

/// The bytes a DSSE signature covers: `DSSEv1 <length> <type> <length> <payload>`.
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// An envelope with one signature made by `sign`.
    #[must_use]
    pub fn seal(payload_type: &str, payload: &[u8], keyid: KeyId, sign: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let sig = encoding::to_base64(&sign(&pre_authentication_encoding(payload_type, payload)));
        Self {
            payload: encoding::to_base64(payload),
            payload_type: payload_type.into(),
            signatures: vec![EnvelopeSignature { keyid, sig }],
        }
    }
    /// Reads an envelope; nothing in it is verified before [`Self::open`].
    ///
    /// # Errors
    /// Too long, not strict JSON, another shape, or too many signatures.
    pub fn parse(raw: &[u8]) -> Result<Self, DsseError> {
        let length = raw.len() as u64;
        if length > MAX_ENVELOPE {
            return Err(DsseError::Length(length));
        }
        let envelope: Self = serde_json::from_value(canonical::parse(raw)?).map_err(DsseError::Shape)?;
        if envelope.signatures.len() > MAX_SIGNATURES {
            return Err(DsseError::Signatures(envelope.signatures.len()));
        }
        Ok(envelope)
    }

    /// The payload, if `key` signed it as `payload_type`. Other signatures beside it neither help nor harm.
    ///
    /// # Errors
    /// Another payload type, no base64, or no signature by `key`.
    pub fn open(&self, payload_type: &'static str, key: &DeviceKey) -> Result<Vec<u8>, DsseError> {
        if self.payload_type != payload_type {
            let found = self.payload_type.chars().take(80).collect();
            return Err(DsseError::PayloadType { expected: payload_type, found });
        }
        let payload = encoding::from_base64(&self.payload).map_err(DsseError::Payload)?;
        let message = pre_authentication_encoding(payload_type, &payload);
        let signed = self.signatures.iter().filter(|signature| signature.keyid == *key.keyid()).any(|signature| {
            encoding::from_base64(&signature.sig).is_ok_and(|bytes| key.check(&message, &bytes).is_ok())
        });
        if signed { Ok(payload) } else { Err(DsseError::Unsigned(key.keyid().clone())) }
    }

    /// The file's content: canonical JSON and a line end.
    ///
    /// # Errors
    /// Never for an envelope of [`Self::seal`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, JsonError> {
        let mut text = crate::signed::message(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Why an envelope cannot be opened.
#[derive(Debug, Error)]
pub enum DsseError {
    /// Longer than [`MAX_ENVELOPE`].
    #[error("the envelope has {0} bytes, at most {MAX_ENVELOPE} are read")]
    Length(u64),
    /// Not strict JSON.
    #[error("the envelope cannot be parsed")]
    Json(#[from] JsonError),
    /// JSON of another shape.
    #[error("the file has another shape than a DSSE envelope")]
    Shape(#[source] serde_json::Error),
    /// More than [`MAX_SIGNATURES`].
    #[error("the envelope has {0} signatures, at most {MAX_SIGNATURES} are read")]
    Signatures(usize),
    /// Made for another purpose.
    #[error("expected payload type {expected:?}, the envelope has {found:?}")]
    PayloadType {
        /// Wanted.
        expected: &'static str,
        /// Found.
        found: String,
    },
    /// The payload is not base64.
    #[error("the payload is not base64")]
    Payload(#[source] encoding::EncodingError),
    /// No good signature by the key.
    #[error("the envelope holds no good signature by key {0}")]
    Unsigned(KeyId),
}
