//! Public keys that can verify.

use std::fmt;

use ring::signature::{self, UnparsedPublicKey};
use thiserror::Error;

use super::{KeyDocument, der};
use crate::digest::{Digest, Hasher};
use crate::encoding;

/// Longest PEM text read, bytes: an RSA key of 8192 bits takes about 1,450.
const MAX_PEM: usize = 4096;

/// The algorithms that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// RFC 8032.
    Ed25519,
    /// ECDSA over P-256 with SHA-256, signature in DER.
    EcdsaP256,
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes, 2048 to 8192 bits.
    RsaPss,
}

/// A public key, tagged with its algorithm.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

/// Why a key or signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No known algorithm.
    #[error("unknown key type {keytype:?} with scheme {scheme:?}")]
    UnknownAlgorithm {
        /// As written.
        keytype: String,
        /// As written.
        scheme: String,
    },
    /// The key itself is unreadable.
    #[error("malformed {0:?} key")]
    Malformed(Algorithm),
    /// The signature is not by this key over these bytes.
    #[error("the signature does not verify")]
    Signature,
}

impl PublicKey {
    /// Reads a key document.
    ///
    /// # Errors
    /// The algorithm is unknown or the key malformed.
    pub fn parse(document: &KeyDocument) -> Result<Self, KeyError> {
        let text = &document.keyval.public;
        let (algorithm, bytes) = match (document.keytype.as_str(), document.scheme.as_str()) {
            ("ed25519", "ed25519") => {
                let bytes = encoding::from_hex(text).ok().filter(|bytes| bytes.len() == 32);
                (Algorithm::Ed25519, bytes)
            }
            // python-tuf wrote the scheme as key type for years; both spellings are one algorithm.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                let spki = from_pem(text);
                (Algorithm::EcdsaP256, spki.as_deref().and_then(der::p256_point).map(<[u8]>::to_vec))
            }
            ("rsa", "rsassa-pss-sha256") => {
                let spki = from_pem(text);
                (Algorithm::RsaPss, spki.as_deref().and_then(der::rsa_public_key).map(<[u8]>::to_vec))
            }
            (keytype, scheme) => {
                let excerpt = |text: &str| text.chars().take(40).collect();
                return Err(KeyError::UnknownAlgorithm { keytype: excerpt(keytype), scheme: excerpt(scheme) });
            }
        };
        bytes.map(|bytes| Self { algorithm, bytes }).ok_or(KeyError::Malformed(algorithm))
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Names the key itself: SHA-256 over algorithm and key bytes. One key written in two ways (`ecdsa` or
    /// `ecdsa-sha2-nistp256`, other line breaks in the PEM, another key id) has one fingerprint, so it counts once.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let tag: &[u8] = match self.algorithm {
            Algorithm::Ed25519 => b"ed25519\0",
            Algorithm::EcdsaP256 => b"ecdsa-sha2-nistp256\0",
            Algorithm::RsaPss => b"rsassa-pss-sha256\0",
        };
        let mut hasher = Hasher::new();
        hasher.update(tag);
        hasher.update(&self.bytes);
        hasher.finish()
    }

    /// Checks one signature.
    ///
    /// # Errors
    /// It is not by this key over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let algorithm: &dyn signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::Ed25519 => &signature::ED25519,
            Algorithm::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
            Algorithm::RsaPss => &signature::RSA_PSS_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).map_err(|_| KeyError::Signature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.algorithm, self.fingerprint())
    }
}

/// The bytes of a PEM `PUBLIC KEY`.
fn from_pem(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_PEM {
        return None;
    }
    let body = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let base64: String = body.chars().filter(|character| !matches!(character, '\n' | '\r')).collect();
    encoding::from_base64(&base64).ok()
}
