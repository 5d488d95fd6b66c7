//! The TLS key as rustls asks for it: something that signs.

use std::fmt;
use std::sync::Arc;

use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

/// What stands before the 32 bytes of an Ed25519 public key in its SubjectPublicKeyInfo (RFC 8410 §4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The device's TLS key. `Debug` shows the public half.
pub(super) struct TlsKey {
    pair: Arc<Ed25519KeyPair>,
    spki: Vec<u8>,
}

impl TlsKey {
    pub(super) fn new(pair: Ed25519KeyPair) -> Self {
        let spki = [&SPKI_HEAD[..], pair.public_key().as_ref()].concat();
        Self { pair: Arc::new(pair), spki }
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsKey").field("public", &self.pair.public_key()).finish_non_exhaustive()
    }
}

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let known = offered.contains(&SignatureScheme::ED25519);
        known.then(|| Box::new(Handshake(self.pair.clone())) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.spki.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

/// One handshake's signature.
struct Handshake(Arc<Ed25519KeyPair>);

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake")
    }
}

impl Signer for Handshake {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_key_signs_with_ed25519_and_shows_nothing_but_its_public_half() {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = TlsKey::new(Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap());
        assert!(key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).is_none());
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ED25519]).unwrap();
        let signature = signer.sign(b"handshake").unwrap();
        UnparsedPublicKey::new(&ED25519, key.pair.public_key().as_ref()).verify(b"handshake", &signature).unwrap();
        let seed = &bytes.as_ref()[16..48];
        let shown = format!("{key:?} {signer:?}");
        assert!(!shown.contains(&casemate_protocol::encoding::to_hex(seed)), "{shown}");
        assert_eq!(key.public_key().unwrap().as_ref()[12..], *key.pair.public_key().as_ref());
    }
}
