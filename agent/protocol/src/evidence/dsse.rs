//! DSSE envelopes (Dead Simple Signing Envelope 1.0).

use serde::{Deserialize, Serialize};

use crate::encoding;
use crate::keys::KeyId;

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
}
