//! A certificate request (PKCS#10, RFC 2986): proof that this device holds its TLS key. Whoever issues the certificate
//! decides what else stands in it, so nothing else stands here.

use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};

/// AlgorithmIdentifier of Ed25519 (RFC 8410 §3).
const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
/// Version 0 and an empty subject (RFC 2986 §4.1).
const VERSION_AND_SUBJECT: [u8; 5] = [0x02, 0x01, 0x00, 0x30, 0x00];
/// No attributes.
const ATTRIBUTES: [u8; 2] = [0xa0, 0x00];

/// The request for `key`, DER: 129 bytes.
///
/// # Errors
/// The key is no Ed25519 key.
pub(super) fn certificate_request(key: &dyn SigningKey) -> Result<Vec<u8>, Error> {
    let no_key = || Error::General("no Ed25519 key".into());
    let spki = key.public_key().ok_or_else(no_key)?;
    let signer = key.choose_scheme(&[SignatureScheme::ED25519]).ok_or_else(no_key)?;
    let info = sequence(&[&VERSION_AND_SUBJECT, spki.as_ref(), &ATTRIBUTES].concat());
    let signature = signer.sign(&info)?;
    // A bit string of 64 bytes without unused bits.
    Ok(sequence(&[&info[..], &ED25519, &[0x03, 0x41, 0x00], &signature].concat()))
}

/// A SEQUENCE of what is shorter than 128 bytes: everything here is of one known length.
fn sequence(content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(0x7f);
    [&[0x30, length], content].concat()
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ED25519 as VERIFY, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    use super::super::tls_key::TlsKey;
    use super::*;

    #[test]
    fn the_request_names_the_key_nothing_else_and_is_signed_by_it() {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let der = certificate_request(&TlsKey::new(pair)).unwrap();
        let (rest, request) = X509CertificationRequest::from_der(&der).unwrap();
        assert_eq!((rest.len(), der.len()), (0, 129));
        let info = &request.certification_request_info;
        assert_eq!((info.subject.iter().count(), info.attributes().len()), (0, 0));
        assert_eq!(*info.subject_pki.subject_public_key.data, *public);
        let signature = &request.signature_value.data;
        UnparsedPublicKey::new(&VERIFY, &public).verify(info.raw, signature).unwrap();
    }
}
