//! Asking once whether what a manifest declares holds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::bundle::probe::ProbeTarget;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::unit;
use crate::boundary::connect;

pub use super::unit::CGROUPS;

/// Whoever takes longer to answer does not hold.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest head of an answer that is read, bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Asks probes.
#[derive(Clone, Debug)]
pub struct Prober {
    cgroups: PathBuf,
}

impl Prober {
    /// One that finds the control groups of units below `cgroups`.
    #[must_use]
    pub fn new(cgroups: &Path) -> Self {
        Self { cgroups: cgroups.into() }
    }

    /// Whether `target` holds now: it answered as it should, within a second.
    pub async fn holds(&self, target: &ProbeTarget) -> bool {
        let asked = async {
            match target {
                ProbeTarget::Http { address, path } => answers(*address, path).await.unwrap_or(false),
                ProbeTarget::Tcp(address) => connect::loopback(*address).await.is_ok(),
                ProbeTarget::Unix(path) => connect::unix(Path::new(path)).await.is_ok(),
                ProbeTarget::Unit(unit) => unit::is_populated(&self.cgroups, unit),
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or(false)
    }
}

/// Whether a GET of `path` at `address` is answered with 2xx. The body is not read.
async fn answers(address: SocketAddr, path: &str) -> Option<bool> {
    let stream = connect::loopback(address).await.ok()?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, address.to_string())
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let answered = sender.send_request(request);
    // Polled here and not spawned: it ends with this question.
    let (mut connection, mut answered) = (std::pin::pin!(connection), std::pin::pin!(answered));
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut answered => return Some(answer.ok()?.status().is_success()),
            _ = &mut connection, if open => open = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn holds(target: &ProbeTarget) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Prober::new(Path::new("/nowhere")).holds(target))
    }

    /// A server that gives `answer` to one request, and what it was asked.
    fn serve(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    count => asked.extend_from_slice(&buffer[..count]),
                }
            }
            let _left = stream.write_all(answer.as_bytes());
            String::from_utf8(asked).unwrap()
        });
        (address, served)
    }

    #[test]
    fn http_holds_with_2xx_and_nothing_else() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\n\r\nold", true),
            ("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n", false),
            ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", false),
            ("nonsense", false),
            ("", false),
        ] {
            let (address, served) = serve(answer);
            assert_eq!(holds(&ProbeTarget::Http { address, path: "/health?all=1".into() }), expected, "{answer:?}");
            let asked = served.join().unwrap();
            assert!(asked.starts_with("GET /health?all=1 HTTP/1.1\r\n") && asked.contains("127.0.0.1"), "{asked}");
        }
    }

    #[test]
    fn a_socket_holds_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(holds(&ProbeTarget::Tcp(address)));
        drop(listener);
        assert!(!holds(&ProbeTarget::Tcp(address)));
        assert!(!holds(&ProbeTarget::Http { address, path: "/".into() }));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let target = ProbeTarget::Unix(path.to_str().unwrap().into());
        assert!(!holds(&target));
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(holds(&target));
    }

    #[test]
    fn who_accepts_and_says_nothing_does_not_hold() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!holds(&ProbeTarget::Http { address, path: "/".into() }));
    }
}
