//! Figures of the listener, for `tests/bench/run`.
//!
//! - `serve FOLDER`: an agent's loop with the listener in front; writes certificates for both sides and `port`.
//! - `ask FOLDER PORT PATH COUNT kept|fresh`: asks over one connection, or one each with a full handshake.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot run has no figures")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use casemate_agent::clock::WallClock;
use casemate_agent::config::Config;
use casemate_agent::identity::Identity;
use casemate_agent::local_api::call::Call;
use casemate_agent::local_api::{Remote, Spool};
use casemate_agent::outbox;
use casemate_agent::runtime::Agent;
use casemate_agent::transport::push::{Limits, Listener, News};
use casemate_agent::transport::tls::Credentials;
use casemate_protocol::boundary::Listen;
use casemate_protocol::device::transport::TransportSettings;
use casemate_tests::authority::{Authority, Subject, Wish};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::sync::watch;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", folder] => serve(Path::new(folder)),
        ["ask", folder, port, path, count, way] => {
            ask(Path::new(folder), port.parse().unwrap(), path, count.parse().unwrap(), *way == "kept");
        }
        _ => panic!("serve FOLDER | ask FOLDER PORT PATH COUNT kept|fresh"),
    }
}

/// Nothing is to be slowed down here.
const UNLIMITED: Limits = Limits {
    connections: 64,
    from_one_address: 64,
    handshake: Duration::from_secs(10),
    handshake_every: Duration::ZERO,
    handshake_burst: 1,
};

fn serve(folder: &Path) {
    let state = folder.join("state");
    let text = format!("state = {state:?}\nsocket = {:?}\nenforcement = \"process-only\"\n", folder.join("socket"));
    std::fs::write(folder.join("agent.toml"), text).unwrap();
    let config = Config::load(&folder.join("agent.toml"), WallClock::system()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let agent = Agent::start(config).await.unwrap();
        agent.call(Call::EnrolRequest).await.unwrap();
        let credentials = watch::Sender::new(Arc::new(credentials(folder, &state)));
        let spool = Spool::open(&folder.join("spool"), 0).unwrap();
        let remote = Remote::new(agent.calls(), agent.hub(), spool, outbox::answer).with_pace(Duration::ZERO, 1);
        let on_stream = move |stream, name| {
            let remote = remote.clone();
            async move { remote.serve(stream, name).await }
        };
        let listen = Listen { port: 0, from: vec!["10.20.0.0/16".parse().unwrap()] };
        let opened = |news| {
            let News::Opened(port) = news else { return };
            std::fs::write(folder.join("port.new"), port.to_string()).unwrap();
            std::fs::rename(folder.join("port.new"), folder.join("port")).unwrap();
        };
        Listener::new(listen, UNLIMITED).serve(credentials.subscribe(), on_stream, opened).await;
    });
}

/// The agent's credentials; certificates of the same authority and kind of key for nginx and the client go to `folder`.
fn credentials(folder: &Path, state: &Path) -> Credentials {
    let authority = Authority::new();
    let identity = Identity::open(&state.join("identity")).unwrap().unwrap();
    let public = identity.tls_key().public_key().unwrap().as_ref().to_vec();
    let named = |wish: Wish| Wish { names: vec!["bench".into()], ..wish };
    let wish = Wish { subject: Subject::Public(public), ..named(Wish::of("casemate://LU/appliance/lux-001")) };
    let own = authority.issue(&wish);
    std::fs::write(folder.join("ca.pem"), authority.anchor_pem()).unwrap();
    std::fs::write(folder.join("crl.pem"), authority.crl_pem(&[])).unwrap();
    let _nginx = authority.issue(&named(Wish::of("casemate://LU/service/web"))).write(folder, "server");
    let _client = authority.issue(&Wish::of("casemate://LU/service/probe")).write(folder, "client");
    Credentials {
        appliance: "lux-001".parse().unwrap(),
        jurisdiction: "LU".parse().unwrap(),
        groups: Vec::new(),
        settings: TransportSettings::default(),
        material: authority.material(&own, &[]),
        key: identity.tls_key(),
        clock: WallClock::system(),
        signed_at: None.into(),
    }
}

fn config(folder: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join("client.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("client.key.pem")).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

type Tls = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn connect(config: &Arc<ClientConfig>, port: u16) -> Tls {
    #[expect(clippy::disallowed_methods, reason = "the bench's client")]
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let connection = ClientConnection::new(config.clone(), "bench".try_into().unwrap()).unwrap();
    BufReader::new(StreamOwned::new(connection, stream))
}

/// One exchange; the stream is at the next one's beginning afterwards.
fn exchange(stream: &mut Tls, path: &str) {
    write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").unwrap();
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
}

fn ask(folder: &Path, port: u16, path: &str, count: usize, kept: bool) {
    let config = config(folder);
    let mut stream = connect(&config, port);
    for _ in 0..count {
        if !kept {
            stream = connect(&config, port);
        }
        exchange(&mut stream, path);
    }
}
