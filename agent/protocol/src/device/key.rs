//! A device's public key, ready to check signatures with.

use thiserror::Error;

use crate::keys::{KeyDocument, KeyError, KeyId, PublicKey};

/// A key document that is no device key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeviceKeyError {
    /// Another algorithm, or one newer than this program.
    #[error("expected keytype ed25519 and scheme ed25519, the key has {keytype:?} and {scheme:?}")]
    Algorithm {
        /// As written.
        keytype: String,
        /// As written.
        scheme: String,
    },
    /// The key itself is malformed.
    #[error("the public key is malformed")]
    Public(#[source] KeyError),
    /// A signature by this key does not verify.
    #[error("the signature was not made by key {0}")]
    Signature(KeyId),
}

/// An Ed25519 public key of an appliance.
///
/// Device keys speak for one appliance alone, never for a role: nothing is counted to a threshold here. Roles are
/// [`crate::verify`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    keyid: KeyId,
    public: PublicKey,
}

impl DeviceKey {
    /// Reads `document`.
    ///
    /// # Errors
    /// Another algorithm than Ed25519, or no key of it.
    pub fn new(document: &KeyDocument) -> Result<Self, DeviceKeyError> {
        if document.keytype != "ed25519" || document.scheme != "ed25519" {
            let brief = |text: &str| text.chars().take(40).collect();
            return Err(DeviceKeyError::Algorithm {
                keytype: brief(&document.keytype),
                scheme: brief(&document.scheme),
            });
        }
        let public = PublicKey::parse(document).map_err(DeviceKeyError::Public)?;
        Ok(Self { keyid: document.keyid(), public })
    }

    /// The key's id.
    #[must_use]
    pub fn keyid(&self) -> &KeyId {
        &self.keyid
    }

    /// Checks that this key signed `message`.
    ///
    /// # Errors
    /// It did not.
    pub fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), DeviceKeyError> {
        self.public.verify(message, signature).map_err(|_| DeviceKeyError::Signature(self.keyid.clone()))
    }
}
