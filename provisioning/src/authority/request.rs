//! Certificate requests: proof that somebody holds the private key of a public one, and nothing else.

use casemate_protocol::device::enrolment::DeviceKeys;
use casemate_protocol::digest::Digest;
use casemate_protocol::encoding;
use rcgen::{CertificateSigningRequestParams, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData};

use super::AuthorityError;

/// The key whose holder made a request.
#[derive(Clone, Debug)]
pub(crate) struct ProvenKey(rcgen::SubjectPublicKeyInfo);

impl ProvenKey {
    /// Reads a request (PKCS#10, DER) and checks that it is signed with the key it names. What it says beside the key
    /// does not count.
    ///
    /// # Errors
    /// It is malformed, signed with another key, or for a key that is neither Ed25519 nor P-256.
    pub(crate) fn of(what: &str, der: &[u8]) -> Result<Self, AuthorityError> {
        let refuse = |source| AuthorityError::Request { what: what.to_owned(), source };
        let request = CertificateSigningRequestParams::from_der(&der.into()).map_err(refuse)?;
        let spki = request.public_key.subject_public_key_info();
        let key = rcgen::SubjectPublicKeyInfo::from_der(&spki).map_err(refuse)?;
        let known = [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256].contains(&key.algorithm());
        if known { Ok(Self(key)) } else { Err(refuse(rcgen::Error::UnsupportedSignatureAlgorithm)) }
    }

    /// What pins it: SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) fn pin(&self) -> Digest {
        Digest::of(&self.0.subject_public_key_info())
    }
}

impl PublicKeyData for ProvenKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// What pins an appliance's TLS key: SHA-256 of its SubjectPublicKeyInfo (RFC 8410 §4). None if it is no Ed25519 key.
pub(crate) fn tls_pin(keys: &DeviceKeys) -> Option<Digest> {
    const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let public = encoding::from_hex(&keys.tls.keyval.public).ok().filter(|public| public.len() == 32)?;
    Some(Digest::of(&[&HEAD[..], &public].concat()))
}

/// Checks the certificate request `csr` (DER) that came with `keys`.
///
/// # Errors
/// It is malformed, or was not made with the TLS key among them.
pub(crate) fn of_appliance(id: &str, csr: &[u8], keys: &DeviceKeys) -> Result<ProvenKey, AuthorityError> {
    let key = ProvenKey::of(&format!("what {id} sent"), csr)?;
    if tls_pin(keys) == Some(key.pin()) { Ok(key) } else { Err(AuthorityError::RequestKey(id.to_owned())) }
}
