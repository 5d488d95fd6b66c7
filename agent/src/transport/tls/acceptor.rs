//! The listener's half of TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::tuf::time::UtcTime;
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::admission::{Admission, Admitted, NotAdmitted};
use super::credentials::{Credentials, provider};
use super::error::TlsError;

/// Shows this appliance's certificate and judges the other side's: made anew for each set of credentials.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    admission: Arc<Admission>,
    credentials: Arc<Credentials>,
}

/// The time of handshakes: the trusted one.
#[derive(Debug)]
struct Trusted(Arc<Credentials>);

impl TimeProvider for Trusted {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().unix())))
    }
}

/// Why somebody did not come in.
#[derive(Debug)]
pub enum Rejected {
    /// The certificate opens nothing here.
    Certificate(NotAdmitted),
    /// The connection broke off, or what came was no handshake of ours.
    Broken(io::Error),
}

impl Acceptor {
    /// # Errors
    /// There is no certificate, no authority, or one of them cannot be used.
    pub fn new(credentials: Arc<Credentials>) -> Result<Self, TlsError> {
        let admission = Arc::new(Admission::new(&credentials)?);
        let certified = credentials.certified()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|source| TlsError::Setup { source })?
            .with_client_cert_verifier(admission.clone())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.time_provider = Arc::new(Trusted(credentials.clone()));
        // Nothing is remembered of a connection: every one proves itself anew, and memory does not grow with them.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), admission, credentials })
    }

    /// The time dates are judged at.
    #[must_use]
    pub fn now(&self) -> UtcTime {
        self.credentials.now()
    }

    /// Has the other side say who it is.
    ///
    /// # Errors
    /// It may not come in, or breaks off. There is no time limit here.
    pub async fn accept(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Admitted), Rejected> {
        let stream = TlsAcceptor::from(self.config.clone()).accept(stream).await.map_err(rejected)?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let admitted = self.admission.read(chain).map_err(Rejected::Certificate)?;
        Ok((stream, admitted))
    }

    /// Judges somebody who is inside by what holds now.
    ///
    /// # Errors
    /// He would not be let in any more.
    pub fn judge_again(&self, admitted: &Admitted) -> Result<(), NotAdmitted> {
        self.admission.judge_again(admitted, self.now())
    }
}

fn rejected(error: io::Error) -> Rejected {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls.and_then(NotAdmitted::find) {
        Some(why) => Rejected::Certificate(why),
        None => Rejected::Broken(error),
    }
}
