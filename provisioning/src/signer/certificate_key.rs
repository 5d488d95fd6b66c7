//! A private key for certificates, in a file: PKCS#8 in PEM, readable by its owner alone.

use std::path::Path;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::file::{KeyError, read_pkcs8, write_pkcs8};

/// What stands before the seed of an Ed25519 key in PKCS#8 version 1 (RFC 8410 §7). OpenSSL, and so nginx and Mosquitto,
/// cannot read the version 2 that ring writes.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What certificates are signed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Algorithm {
    /// Ed25519 (RFC 8410).
    #[default]
    Ed25519,
    /// ECDSA over P-256 with SHA-256, for peers that know no Ed25519.
    P256,
}

/// The private key of an authority or of a holder of a certificate.
pub(crate) struct CertificateKey {
    pair: Pair,
    public: Vec<u8>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl std::fmt::Debug for CertificateKey {
    /// The algorithm alone: a private key is never printed (R23).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.pair {
            Pair::Ed25519(_) => "CertificateKey(ed25519)",
            Pair::P256(_) => "CertificateKey(p256)",
        })
    }
}

impl CertificateKey {
    /// Makes a key in the file `path`, which must not exist.
    ///
    /// # Errors
    /// The file exists, or writing fails.
    ///
    /// # Durability
    /// The file is on disk when this returns.
    pub(crate) fn make(path: &Path, algorithm: Algorithm) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pkcs8 = match algorithm {
            Algorithm::Ed25519 => {
                let mut seed = [0; 32];
                random.fill(&mut seed).map_err(|_| KeyError::Random)?;
                [&ED25519_PKCS8[..], &seed].concat()
            }
            Algorithm::P256 => {
                let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
                pair.map_err(|_| KeyError::Random)?.as_ref().to_vec()
            }
        };
        write_pkcs8(path, &pkcs8)?;
        Self::from_pkcs8(&pkcs8).ok_or_else(|| KeyError::NoCertificateKey(path.to_owned()))
    }

    /// Reads a private key.
    ///
    /// # Errors
    /// Unreadable, readable by group or others, or no such key.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        let pkcs8 = read_pkcs8(path)?;
        pkcs8.as_deref().and_then(Self::from_pkcs8).ok_or_else(|| KeyError::NoCertificateKey(path.to_owned()))
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // OpenSSL writes version 1, without the public half.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            let public = pair.public_key().as_ref().to_vec();
            return Some(Self { pair: Pair::Ed25519(pair), public });
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new()).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        Some(Self { pair: Pair::P256(pair), public })
    }
}

impl PublicKeyData for CertificateKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.pair {
            Pair::Ed25519(_) => &PKCS_ED25519,
            Pair::P256(_) => &PKCS_ECDSA_P256_SHA256,
        }
    }
}

impl SigningKey for CertificateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| rcgen::Error::RingUnspecified)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let path = folder.path().join(format!("{algorithm:?}.pem"));
            let made = CertificateKey::make(&path, algorithm).unwrap();
            let read = CertificateKey::read(&path).unwrap();
            assert_eq!(made.subject_public_key_info(), read.subject_public_key_info());
            assert!(matches!(CertificateKey::make(&path, algorithm), Err(KeyError::File(_))));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(CertificateKey::read(&path), Err(KeyError::Exposed { mode: 0o640, .. })));
        }
    }

    #[test]
    fn a_private_key_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let key = CertificateKey::make(&folder.path().join("k"), Algorithm::P256).unwrap();
        assert_eq!(format!("{key:?}"), "CertificateKey(p256)");
    }
}
