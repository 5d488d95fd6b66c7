//! Keys and signatures as they stand in metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::canonical;
use crate::digest::Digest;
use crate::encoding;

/// A key's name inside one document. Ours is the SHA-256 of the key's canonical JSON; a foreign repository may use
/// any text, so a key id alone proves nothing about the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key as written in TUF metadata, enrolment files and receipts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDocument {
    /// `ed25519`, `ecdsa` or `rsa`; others are kept and never count.
    pub keytype: String,
    /// `ed25519`, `ecdsa-sha2-nistp256`, `rsassa-pss-sha256`; others are kept and never count.
    pub scheme: String,
    /// The key itself.
    pub keyval: KeyValue,
}

/// The `keyval` member of a [`KeyDocument`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// 64 hexadecimal digits for Ed25519, a PEM SubjectPublicKeyInfo for the others.
    pub public: String,
}

impl KeyDocument {
    /// The document of an Ed25519 key.
    #[must_use]
    pub fn ed25519(public: &[u8; 32]) -> Self {
        Self {
            keytype: "ed25519".into(),
            scheme: "ed25519".into(),
            keyval: KeyValue { public: encoding::to_hex(public) },
        }
    }

    /// The key id securesystemslib and we give this key: SHA-256 of its canonical JSON.
    #[must_use]
    pub fn keyid(&self) -> KeyId {
        KeyId(self.fingerprint().to_string())
    }

    /// SHA-256 of the key's canonical JSON: names the key itself, whatever a document calls it.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let value = json!({
            "keytype": self.keytype, "scheme": self.scheme, "keyval": { "public": self.keyval.public },
        });
        Digest::of(&canonical::encode(&value))
    }
}

/// One signature beside a signed document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Which key of the document that delegates the role.
    pub keyid: KeyId,
    /// Lower-case hexadecimal.
    pub sig: String,
}

/// A map of keys without the entries of another shape: a key of an algorithm nobody here knows may carry other
/// members than `keyval.public`, it never counts, and the document around it may still stand.
pub(crate) fn of_known_shape<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<KeyId, KeyDocument>, D::Error> {
    let all = BTreeMap::<KeyId, serde_json::Value>::deserialize(deserializer)?;
    Ok(all.into_iter().filter_map(|(id, key)| Some((id, serde_json::from_value(key).ok()?))).collect())
}
