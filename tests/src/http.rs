//! HTTP/1.1 over a unix socket, as bytes: what a client could do that ours never does.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A reply, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body, chunks joined.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads what a server sent until it closed the connection.
    ///
    /// # Panics
    /// It is no reply.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Self {
        let split = raw.windows(4).position(|window| window == b"\r\n\r\n");
        let split = split.unwrap_or_else(|| panic!("no reply: {}", String::from_utf8_lossy(raw)));
        let head = std::str::from_utf8(&raw[..split]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: BTreeMap<_, _> = lines.filter_map(pair).collect();
        let mut body = raw[split + 4..].to_vec();
        if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            body = joined(&body);
        }
        Self { status, headers, body }
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `code` of a refusal.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        let rest = &chunks[end + 2..];
        body.extend_from_slice(&rest[..length.min(rest.len())]);
        chunks = rest.get(length + 2..).unwrap_or_default();
    }
    body
}

/// Sends `head` (request line and headers, lines ending with `\n`) and `body` and reads the reply.
///
/// # Panics
/// Nobody listens, or what comes is no reply.
#[must_use]
pub fn ask(socket: &Path, head: &str, body: &[u8]) -> Reply {
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = head.trim_end().replace('\n', "\r\n");
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let text = format!("{head}\r\nHost: agent\r\nConnection: close\r\n{length}\r\n");
    // A server that refuses early may have closed its side: what it said is read all the same.
    let _sent = stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(body));
    let mut raw = Vec::new();
    let _read = stream.read_to_end(&mut raw);
    Reply::parse(&raw)
}

/// `GET path`.
#[must_use]
pub fn get(socket: &Path, path: &str) -> Reply {
    ask(socket, &format!("GET {path} HTTP/1.1"), b"")
}

/// `POST path` with a JSON document.
#[must_use]
pub fn post(socket: &Path, path: &str, document: &serde_json::Value) -> Reply {
    let head = format!("POST {path} HTTP/1.1\nContent-Type: application/json");
    ask(socket, &head, document.to_string().as_bytes())
}
