//! Connections to peers of the boundary.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::boundary::{Peer, Pins};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::credentials::{Credentials, provider};
use super::error::TlsError;
use super::pinned::PinnedPeer;
use super::revocation::Revoked;
use crate::boundary::connect::Door;

/// How long a handshake may take: as long as the connection before it.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connects to `peer` and has it prove that it holds a key that is pinned now, showing this appliance's certificate.
/// `alpn` is what will be spoken, such as `http/1.1`.
///
/// No server name is sent: peers have addresses, not names.
///
/// # Errors
/// The appliance has no usable certificate; the boundary in force names no such peer; nobody answers in time; or who
/// answers is somebody else. That a peer refuses *our* certificate shows with the first read: [`TlsError::of`].
pub async fn connect(
    door: &Door,
    peer: &Peer,
    credentials: &Credentials,
    alpn: &[u8],
) -> Result<TlsStream<TcpStream>, TlsError> {
    let unreached = |source| TlsError::Unreached { peer: peer.id.clone(), source };
    let policy = door.policy();
    // The boundary may have been narrowed since the caller was told of the peer.
    let known = policy.peers.iter().find(|known| known.id == peer.id && known.socket() == peer.socket());
    let refused = || unreached(io::Error::new(io::ErrorKind::PermissionDenied, "not a peer of the boundary in force"));
    let pins = known.ok_or_else(refused)?.pins;
    let connector = TlsConnector::from(Arc::new(config(credentials, pins, alpn)?));
    let stream = door.peer(&peer.id).await.map_err(unreached)?;
    let handshake = connector.connect(ServerName::IpAddress(peer.address.into()), stream);
    let late = || unreached(io::Error::from(io::ErrorKind::TimedOut));
    timeout(HANDSHAKE, handshake).await.map_err(|_| late())?.map_err(|error| TlsError::of(&peer.id, error))
}

fn config(credentials: &Credentials, pins: Pins, alpn: &[u8]) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let verifier = PinnedPeer {
        pins,
        revoked_keys: credentials.settings.revoked_keys.clone(),
        revoked: Revoked::read(&credentials.material.crls)?,
        algorithms: provider.signature_verification_algorithms,
    };
    let certified = credentials.certified()?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|source| TlsError::Setup { source })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.enable_sni = false;
    // Each connection proves itself anew: a certificate revoked meanwhile would otherwise be resumed.
    config.resumption = Resumption::disabled();
    Ok(config)
}
