//! Who a peer is: whoever holds the key the boundary pins, and proves it.

use std::sync::Arc;

use casemate_protocol::boundary::Pins;
use casemate_protocol::digest::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use thiserror::Error as ThisError;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::revocation::Revoked;

/// Why who answers is not the peer.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum NotThePeer {
    /// The certificate cannot be read.
    #[error("its certificate is not well-formed")]
    Malformed,
    /// Another key.
    #[error("its key has the digest {found}, the boundary pins {pinned}")]
    Key {
        /// Whose digest this is.
        found: Digest,
        /// What the boundary says; the current pin.
        pinned: Digest,
    },
    /// Its certificate is on a signed revocation list.
    #[error("its certificate is revoked")]
    Revoked,
    /// Its key is pinned, and revoked: whoever holds it may be a thief.
    #[error("its key, of digest {0}, is revoked")]
    RevokedKey(Digest),
    /// It did not prove that it holds the key.
    #[error("it did not prove that it holds the key it showed")]
    Unproved,
}

impl NotThePeer {
    /// What a failed handshake says about who answered, if it is about that.
    pub(super) fn find(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => {
                Some(why.downcast_ref::<Self>().cloned().unwrap_or(Self::Malformed))
            }
            Error::InvalidCertificate(CertificateError::BadSignature) => Some(Self::Unproved),
            Error::InvalidCertificate(_) => Some(Self::Malformed),
            _ => None,
        }
    }
}

impl From<NotThePeer> for Error {
    fn from(why: NotThePeer) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
    }
}

/// Takes whoever holds a pinned key. Names, chains and dates in the certificate do not count, and no address in it is
/// followed.
#[derive(Debug)]
pub(super) struct PinnedPeer {
    pub(super) pins: Pins,
    pub(super) revoked_keys: Vec<Digest>,
    pub(super) revoked: Revoked,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, NotThePeer> {
    let parsed = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
    parsed.map(|(_, certificate)| certificate).ok_or(NotThePeer::Malformed)
}

impl ServerCertVerifier for PinnedPeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = parse(end_entity)?;
        let found = Digest::of(certificate.public_key().raw);
        if !self.pins.iter().any(|pin| pin == found) {
            return Err(NotThePeer::Key { found, pinned: self.pins.current }.into());
        }
        // A certificate is made in a moment by whoever has the key; only this revokes a peer.
        if self.revoked_keys.contains(&found) {
            return Err(NotThePeer::RevokedKey(found).into());
        }
        if self.revoked.contains(&certificate) {
            return Err(NotThePeer::Revoked.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = parse(certificate)?;
        // The very bytes the pin was compared with.
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
