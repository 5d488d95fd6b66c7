//! Why a connection did not come about.

use std::io;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Name;
use thiserror::Error;

use super::pinned::NotThePeer;

/// Why a connection did not come about.
#[derive(Debug, Error)]
pub enum TlsError {
    /// No certificate has been issued to this appliance, or none has arrived.
    #[error("this appliance has no certificate yet")]
    NoCertificate,
    /// The signed certificate is not for this appliance's key.
    #[error("the certificate signed for this appliance cannot be used")]
    Certificate {
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// No authority is signed for this appliance: nobody could come in.
    #[error("no certificate authority is signed for this appliance")]
    NoAnchor,
    /// An authority or a revocation list cannot be read.
    #[error("one of the signed {what} is not well-formed DER")]
    Malformed {
        /// Of which.
        what: &'static str,
    },
    /// An authority's revocation list is not its own.
    #[error("one of the signed revocation lists is not signed by the authority it names")]
    Unsigned,
    /// The signed authorities and revocation lists do not make a verifier.
    #[error("the signed authorities and revocation lists cannot be used")]
    Verifier {
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    /// The provider lacks TLS 1.3.
    #[error("TLS cannot be set up")]
    Setup {
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Nobody answers there, or not in time.
    #[error("peer {peer} was not reached")]
    Unreached {
        /// Whom.
        peer: Name,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Who answers is somebody else.
    #[error("who answers is not peer {peer}")]
    Untrusted {
        /// Who should have answered.
        peer: Name,
        /// Why it is not.
        #[source]
        source: NotThePeer,
    },
    /// The peer turned this appliance's certificate away.
    #[error("peer {peer} refused the certificate of this appliance")]
    Refused {
        /// Who refused.
        peer: Name,
        /// How.
        #[source]
        source: rustls::Error,
    },
    /// The handshake failed otherwise.
    #[error("the TLS handshake with peer {peer} failed")]
    Handshake {
        /// With whom.
        peer: Name,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl Explain for TlsError {
    fn code(&self) -> Code {
        match self {
            Self::NoCertificate
            | Self::Certificate { .. }
            | Self::NoAnchor
            | Self::Malformed { .. }
            | Self::Unsigned
            | Self::Verifier { .. } => Code::TransportInvalid,
            Self::Setup { .. } => Code::Internal,
            Self::Unreached { .. } => Code::PeerUnreached,
            Self::Untrusted { .. } => Code::PeerUntrusted,
            Self::Refused { .. } => Code::CertificateRefused,
            Self::Handshake { .. } => Code::PeerMisbehaved,
        }
    }
}

/// Whether an alert says that the peer does not take our certificate.
fn is_about_certificates(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return false };
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
    )
}

impl TlsError {
    /// What an I/O error on a TLS connection to `peer` comes to. In TLS 1.3 a peer's refusal of our certificate arrives
    /// with the first read, after the handshake.
    #[must_use]
    pub fn of(peer: &Name, error: io::Error) -> Self {
        let peer = peer.clone();
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned();
        match tls {
            None => Self::Unreached { peer, source: error },
            Some(source) if is_about_certificates(&source) => Self::Refused { peer, source },
            Some(source) => match NotThePeer::find(&source) {
                Some(source) => Self::Untrusted { peer, source },
                None => Self::Handshake { peer, source },
            },
        }
    }
}
