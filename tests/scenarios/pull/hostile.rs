//! A web server that holds the pinned key and means no good.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use casemate_agent::transport::pull::Limits;
use casemate_agent::transport::tls::Credentials;
use casemate_protocol::code::Code;
use casemate_protocol::device::transport::TransportSettings;
use casemate_tests::authority::{Authority, Holder, Subject, Wish};
use casemate_tests::repository::Site;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::stage::{Cast, HERE, Play, Said, on_stage};

type Stream = BufReader<TlsStream<tokio::net::TcpStream>>;

/// What a server does with a request for `path` from `range` on. It says whether the connection goes on.
type Script = Box<dyn Fn(&Request) -> Reply + Send>;

struct Request {
    path: String,
    from: Option<usize>,
}

enum Reply {
    /// Just these bytes.
    Raw(Vec<u8>),
    /// The file, as an honest server sends it.
    Honest,
    /// These bytes, then the connection is closed.
    Cut(Vec<u8>),
    /// The first bytes once, then the second for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// The first bytes, then one of the second every so often.
    Drip(Vec<u8>, Duration),
    /// Nothing at all.
    Silence,
}

fn acceptor(cast: &Cast, holder: &Holder) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(cast.depot.authority.anchor().to_vec())).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from(holder.certificate.clone())],
            PrivatePkcs8KeyDer::from(holder.key.clone()).into(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server whose next answers follow scripts, one after another, each for the rest of its connection; honest after the
/// last. It tells of every connection.
struct Hostile {
    port: u16,
    connections: mpsc::UnboundedReceiver<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    async fn start(cast: &Cast, site: &Site, scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor(cast, &cast.depot.server);
        let tree = site.issue().tree();
        let (tell, connections) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut scripts = scripts.into_iter();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let _gone = tell.send(());
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let script = scripts.next();
                let mut stream = BufReader::new(stream);
                while let Some(request) = request(&mut stream).await {
                    let reply = script.as_ref().map_or(Reply::Honest, |script| script(&request));
                    if !answer(&mut stream, reply, tree.get(&request.path[1..]), request.from).await {
                        break;
                    }
                }
            }
        });
        Self { port, connections, task }
    }
}

async fn request(stream: &mut Stream) -> Option<Request> {
    let (mut path, mut from) = (String::new(), None);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Some(Request { path, from });
        }
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap().to_owned();
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = Some(range.trim_end_matches('-').parse().unwrap());
        }
    }
}

async fn answer(stream: &mut Stream, reply: Reply, file: Option<&Vec<u8>>, from: Option<usize>) -> bool {
    match reply {
        Reply::Raw(bytes) => stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok(),
        Reply::Honest => {
            let bytes = match (file, from) {
                (None, _) => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
                (Some(file), None) => ok(file),
                (Some(file), Some(from)) => {
                    let range = format!("bytes {from}-{}/{}", file.len() - 1, file.len());
                    partial(&range, &file[from..])
                }
            };
            stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok()
        }
        Reply::Cut(bytes) => {
            let _gone = stream.write_all(&bytes).await;
            let _gone = stream.flush().await;
            false
        }
        Reply::Endless(first, then) => {
            let mut open = stream.write_all(&first).await.is_ok();
            while open {
                open = stream.write_all(&then).await.is_ok() && stream.flush().await.is_ok();
            }
            false
        }
        Reply::Silence => {
            let _left = stream.read(&mut [0; 1]).await;
            false
        }
        Reply::Drip(first, pause) => {
            let mut open = stream.write_all(&first).await.is_ok();
            while open {
                let mut byte = [0; 1];
                open = stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok();
                // A client that has gone is noticed here, and at once.
                if let Ok(read) = tokio::time::timeout(pause, stream.read(&mut byte)).await {
                    open &= read.is_ok_and(|count| count > 0);
                }
            }
            false
        }
    }
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn partial(range: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 206 Partial Content\r\ncontent-range: {range}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Honest but for the file whose path has `name` in it.
fn but_for(name: &'static str, reply: impl Fn(&Request) -> Reply + Send + 'static) -> Script {
    Box::new(move |request| if request.path.contains(name) { reply(request) } else { Reply::Honest })
}

fn raw(text: impl Into<Vec<u8>>) -> Script {
    let text = text.into();
    but_for("timestamp", move |_| Reply::Raw(text.clone()))
}

/// Nothing honest takes so long, and nothing is resumed.
fn patient() -> Limits {
    Limits { idle: Duration::from_secs(20), resume: Duration::ZERO, pause: Duration::from_millis(1) }
}

/// What is slow is given up soon.
fn quick() -> Limits {
    Limits { idle: Duration::from_millis(500), ..patient() }
}

/// Plays one evil answer: it must end in `code`, and the look after it must bring the bundle.
async fn ends_in(code: Code, what: &str, script: Script) {
    let limits = if code == Code::PeerUnreached { quick() } else { patient() };
    let cast = Cast::new();
    let site = Site::sample();
    let hostile = Hostile::start(&cast, &site, vec![script]).await;
    let mut play = Play::start(&cast, &site, hostile.port, limits);
    assert_eq!(play.outcome().await, Said::Noticed(code), "{what}");
    loop {
        // Looks of its own, after two seconds, would do as well.
        play.look();
        match play.outcome().await {
            Said::Imported(Code::Applied) => break,
            Said::Noticed(again) => assert_eq!(again, code, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn redirects_and_their_kin_are_remembered_and_never_followed() {
    on_stage(async || {
        // Where they lead somebody listens, and must never be knocked at.
        let elsewhere = TcpListener::bind((HERE, 0)).await.unwrap();
        let to = format!("https://{}/metadata/timestamp.json", elsewhere.local_addr().unwrap());
        for status in [301, 302, 303, 307, 308] {
            let text = format!("HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            ends_in(Code::RedirectIgnored, &format!("{status}"), raw(text)).await;
        }
        for field in [format!("alt-svc: h2=\"{to}\""), format!("refresh: 0; url={to}")] {
            let text = format!("HTTP/1.1 404 Not Found\r\n{field}\r\ncontent-length: 0\r\n\r\n");
            ends_in(Code::RedirectIgnored, &field, but_for("2.root", move |_| Reply::Raw(text.clone().into()))).await;
        }
        tokio::select! {
            biased;
            _ = elsewhere.accept() => panic!("somebody went elsewhere"),
            () = tokio::task::yield_now() => {}
        }
    });
}

#[test]
fn what_is_no_answer_ends_in_a_stated_code_and_the_next_look_works() {
    on_stage(async || {
        let site = Site::sample().issue().timestamp;
        let compressed =
            [b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx".to_vec()].concat();
        let old = [format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n", site.len()).into_bytes(), site].concat();
        let many = (0..200).fold("HTTP/1.1 200 OK\r\n".to_owned(), |text, n| text + &format!("x-{n}: y\r\n")) + "\r\n";
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
        let partial = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-1/2\r\ncontent-length: 2\r\n\r\nxx";
        for (what, bytes) in [
            ("compressed", compressed),
            ("HTTP/1.0", old),
            ("more fields than allowed", many.into_bytes()),
            ("a chunked body in gzip", chunked.into()),
            ("a part where the whole was asked for", partial.into()),
            ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n".to_vec()),
            ("an error", b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_vec()),
            ("longer than a timestamp may be", ok(&vec![b'x'; 16_385])),
            ("a length that is none", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".to_vec()),
        ] {
            ends_in(Code::PeerMisbehaved, what, raw(bytes)).await;
        }
        ends_in(Code::Missing, "no timestamp", raw("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")).await;
    });
}

#[test]
fn what_never_ends_is_cut_off_without_growing() {
    on_stage(async || {
        let head = b"HTTP/1.1 200 OK\r\n".to_vec();
        let chunk = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat();
        let body = [&head[..], b"transfer-encoding: chunked\r\n\r\n"].concat();
        let endless =
            |first: Vec<u8>, then: Vec<u8>| but_for("timestamp", move |_| Reply::Endless(first.clone(), then.clone()));
        ends_in(Code::PeerMisbehaved, "an endless body", endless(body, chunk)).await;
        ends_in(Code::PeerMisbehaved, "endless fields", endless(head.clone(), b"x-more: and more\r\n".to_vec())).await;
        ends_in(Code::PeerMisbehaved, "an endless field", endless(head.clone(), vec![b'x'; 4096])).await;
        let wait = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
        ends_in(Code::PeerUnreached, "continue, for ever", endless(Vec::new(), wait)).await;
        let drip = |first: &[u8]| {
            let first = first.to_vec();
            but_for("timestamp", move |_| Reply::Drip(first.clone(), Duration::from_millis(20)))
        };
        ends_in(Code::PeerUnreached, "a dripping head", drip(b"HTTP/1.1 200 OK\r\nx: ")).await;
        ends_in(Code::PeerUnreached, "a dripping body", drip(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")).await;
        ends_in(Code::PeerUnreached, "silence", but_for("timestamp", |_| Reply::Silence)).await;
        ends_in(
            Code::PeerUnreached,
            "half of it",
            but_for("timestamp", |_| Reply::Cut(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nxx".to_vec())),
        )
        .await;
    });
}

/// A file of one large part, of which the first answer brings half; then each of `replies` answers one try to go on.
async fn resumed(replies: Vec<fn(&[u8], usize) -> Reply>) -> (Vec<Said>, usize) {
    let cast = Cast::new();
    let content: Vec<u8> = (0..3_u32 << 20).map(|index| (index >> 9) as u8).collect();
    let site = Site::single(content.clone());
    let half = content.clone();
    let mut scripts: Vec<Script> = vec![but_for("/files/", move |_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", half.len());
        Reply::Cut([head.as_bytes(), &half[..1 << 20]].concat())
    })];
    for reply in replies {
        let content = content.clone();
        scripts.push(but_for("/files/", move |request| reply(&content, request.from.unwrap())));
    }
    let mut hostile = Hostile::start(&cast, &site, scripts).await;
    let limits =
        Limits { idle: Duration::from_secs(5), resume: Duration::from_secs(60), pause: Duration::from_millis(1) };
    let mut play = Play::start(&cast, &site, hostile.port, limits);
    let mut said = Vec::new();
    while !said.contains(&Said::Imported(Code::Applied)) {
        said.push(play.outcome().await);
        if said.len() > 1 {
            play.look();
        }
    }
    let mut connections = 0;
    while hostile.connections.try_recv().is_ok() {
        connections += 1;
    }
    (said, connections)
}

#[test]
fn a_server_that_cannot_resume_sends_it_all_and_the_stream_goes_on() {
    on_stage(async || {
        let (said, _) = resumed(vec![|content, _| Reply::Raw(ok(content))]).await;
        assert_eq!(said, [Said::Imported(Code::Applied)]);
    });
}

#[test]
fn a_range_of_other_bytes_is_never_taken() {
    on_stage(async || {
        let wrong: Vec<fn(&[u8], usize) -> Reply> = vec![
            |content, from| {
                Reply::Raw(partial(
                    &format!("bytes {}-{}/{}", from + 1, content.len() - 1, content.len()),
                    &content[from + 1..],
                ))
            },
            |content, from| {
                Reply::Raw(partial(&format!("bytes {from}-{}/{}", content.len(), content.len() + 1), &content[from..]))
            },
            |content, from| {
                Reply::Raw(partial(
                    &format!("bytes {from}-{}/{}", content.len() - 1, content.len()),
                    &content[from + 1..],
                ))
            },
        ];
        for reply in wrong {
            let (said, _) = resumed(vec![reply]).await;
            assert!(said.contains(&Said::Imported(Code::ArchiveTruncated)), "{said:?}");
            assert!(said.contains(&Said::Noticed(Code::PeerMisbehaved)), "{said:?}");
        }
    });
}

#[test]
fn a_connection_that_breaks_again_and_again_costs_only_what_is_missing() {
    on_stage(async || {
        let cut: fn(&[u8], usize) -> Reply = |content, from| {
            let to = (from + (512 << 10)).min(content.len());
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{}/{}\r\ncontent-length: {}\r\n\r\n",
                content.len() - 1,
                content.len(),
                content.len() - from
            );
            Reply::Cut([head.as_bytes(), &content[from..to]].concat())
        };
        let (said, connections) = resumed(vec![cut; 3]).await;
        assert_eq!((said, connections), (vec![Said::Imported(Code::Applied)], 5));
    });
}

#[test]
fn whoever_is_not_the_peer_is_not_asked_anything() {
    on_stage(async || {
        let cast = Cast::new();
        let site = Site::sample();
        let hostile = Hostile::start(&cast, &site, vec![]).await;
        let Cast { depot, appliance } = cast;
        let depot = casemate_tests::depot::Cast { server: Cast::new().depot.server, ..depot };
        let expecting = Cast { depot, appliance };
        let mut play = Play::start(&expecting, &site, hostile.port, patient());
        assert_eq!(play.next().await, Said::Noticed(Code::PeerUntrusted));

        // No TLS at all; and TLS 1.2, which openssl speaks.
        let garbage = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = garbage.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut kept = Vec::new();
            loop {
                let (mut stream, _) = garbage.accept().await.unwrap();
                let _gone = stream.write_all(b"220 mail.example ESMTP\r\n").await;
                kept.push(stream);
            }
        });
        let mut play = Play::start(&expecting, &site, port, patient());
        assert_eq!(play.next().await, Said::Noticed(Code::PeerMisbehaved));
        task.abort();

        let folder = tempfile::tempdir().unwrap();
        let files = expecting.depot.server.write(folder.path(), "server");
        let port = casemate_tests::depot::free_port();
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["s_server", "-tls1_2", "-quiet", "-accept", &format!("{HERE}:{port}")]);
        openssl.arg("-cert").arg(files.certificate).arg("-key").arg(files.key);
        let mut server = openssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut play = Play::start(&expecting, &site, port, patient());
        // Until it listens nobody answers.
        let said = loop {
            match play.next().await {
                Said::Noticed(Code::PeerUnreached) => play.look(),
                other => break other,
            }
        };
        let _ended = server.kill().and_then(|()| server.wait());
        assert_eq!(said, Said::Noticed(Code::PeerMisbehaved));
    });
}

#[test]
fn whoever_holds_a_revoked_key_is_not_asked_anything_whatever_certificate_he_makes_himself() {
    on_stage(async || {
        let (cast, site) = (Cast::new(), Site::sample());
        let honest = Hostile::start(&cast, &site, vec![]).await;
        assert_eq!(Play::start(&cast, &site, honest.port, patient()).outcome().await, Said::Imported(Code::Applied));
        // A thief's own certificate over the key that is pinned: no list knows it.
        let subject = Subject::Private(cast.depot.server.key.clone());
        let forged = Authority::new().issue(&Wish { subject, ..Wish::service("repository", HERE) });
        assert_eq!(forged.pin(), cast.depot.server.pin());
        let revoked_keys = vec![forged.pin()];
        let thief = Cast { depot: casemate_tests::depot::Cast { server: forged, ..cast.depot }, ..cast };
        let hostile = Hostile::start(&thief, &site, vec![]).await;
        let known = thief.credentials(3600);
        let settings = TransportSettings { revoked_keys, ..known.settings.clone() };
        let told = Credentials { settings, ..Credentials::clone(&known) };
        let mut play = Play::start_with(&thief, &site, hostile.port, patient(), Arc::new(told));
        assert_eq!(play.next().await, Said::Noticed(Code::PeerUntrusted));
    });
}

#[test]
fn a_shorter_interval_takes_effect_at_once() {
    on_stage(async || {
        let cast = Cast::new();
        let site = Site::sample();
        let mut hostile = Hostile::start(&cast, &site, vec![]).await;
        let mut play = Play::start(&cast, &site, hostile.port, patient());
        assert_eq!(play.outcome().await, Said::Imported(Code::Applied));
        hostile.connections.recv().await.unwrap();
        // An hour was signed.
        play.credentials.send_replace(cast.credentials(1));
        assert_eq!(play.next().await, Said::RoundTrip);
    });
}
