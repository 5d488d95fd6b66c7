//! The one connection this program makes: to an address that somebody typed, and to who holds the key they named.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use casemate_protocol::digest::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::BrokerError;
use crate::authority::pem;

/// How long the broker may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is spoken over.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Who connects to whom.
#[derive(Debug)]
pub(crate) struct Parties<'a> {
    /// Where the broker is.
    pub(crate) broker: SocketAddr,
    /// SHA-256 of its key, as `casemate ca pin` prints it.
    pub(crate) pin: Digest,
    /// The publisher's certificate, then its issuers: PEM.
    pub(crate) certificate: &'a Path,
    /// The publisher's private key: PKCS#8 in PEM.
    pub(crate) key: &'a Path,
}

/// Connects over TLS 1.3. Nothing is resolved; names, chain and dates of the broker's certificate do not count, its key
/// does.
///
/// # Errors
/// Nobody answers, somebody else does, or the publisher's own files cannot be used.
pub(crate) fn connect(parties: &Parties<'_>) -> Result<Stream, BrokerError> {
    let at = parties.broker;
    let unreached = |source| BrokerError::Unreached { at, source };
    let seen = Arc::new(Mutex::new(None));
    let config = config(parties, Arc::new(Pinned { pin: parties.pin, seen: seen.clone(), provider: provider() }))?;
    #[expect(clippy::disallowed_methods, reason = "the tool's one connection, to a literal address that was typed")]
    let tcp = TcpStream::connect_timeout(&at, PATIENCE).map_err(unreached)?;
    let set = tcp.set_nodelay(true).and_then(|()| tcp.set_read_timeout(Some(PATIENCE)));
    set.and_then(|()| tcp.set_write_timeout(Some(PATIENCE))).map_err(unreached)?;
    let name = ServerName::IpAddress(at.ip().into());
    let connection = ClientConnection::new(Arc::new(config), name).map_err(BrokerError::Tls)?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| {
            let found = seen.lock().ok().and_then(|seen| *seen).filter(|found| *found != parties.pin);
            match found {
                Some(found) => BrokerError::Untrusted { at, found, expected: parties.pin },
                None => failed(at, error),
            }
        })?;
    }
    Ok(stream)
}

/// What an I/O error on the connection comes to: a broker that refuses our certificate says so with the first read.
pub(super) fn failed(at: SocketAddr, error: io::Error) -> BrokerError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(tls) => BrokerError::Tls(tls.clone()),
        None => BrokerError::Unreached { at, source: error },
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(parties: &Parties<'_>, verifier: Arc<Pinned>) -> Result<ClientConfig, BrokerError> {
    let blocks = |path: &Path, what| {
        let refused = || BrokerError::Material { path: path.into(), what };
        fs::read(path).ok().and_then(|raw| pem::blocks(&raw)).ok_or_else(refused)
    };
    let labelled = |(label, der): (String, Vec<u8>)| (label == pem::CERTIFICATE).then(|| CertificateDer::from(der));
    let chain: Vec<_> = blocks(parties.certificate, "certificate")?.into_iter().filter_map(labelled).collect();
    let key = blocks(parties.key, "private key")?.into_iter().find(|(label, _)| label == "PRIVATE KEY");
    let refused = |path: &Path, what| BrokerError::Material { path: path.into(), what };
    let (_, key) = key.ok_or_else(|| refused(parties.key, "private key"))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(BrokerError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))
        .map_err(|_| refused(parties.certificate, "certificate for that key"))?;
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    config.enable_sni = false;
    Ok(config)
}

/// Accepts who proves to hold the pinned key.
#[derive(Debug)]
struct Pinned {
    pin: Digest,
    seen: Arc<Mutex<Option<Digest>>>,
    provider: Arc<CryptoProvider>,
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let parsed = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
    parsed.map(|(_, certificate)| certificate).ok_or_else(|| CertificateError::BadEncoding.into())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = parse(end_entity)?;
        let found = Digest::of(certificate.public_key().raw);
        if let Ok(mut seen) = self.seen.lock() {
            *seen = Some(found);
        }
        if found == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
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
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
