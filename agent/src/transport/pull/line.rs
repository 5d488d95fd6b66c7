//! One connection to a repository, and what is asked over it.

use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::boundary::Peer;
use casemate_protocol::code::Code;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT_ENCODING, HOST, RANGE};
use hyper::{Request, http};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::ask::{self, Ask, Body};
use super::error::PullError;
use crate::boundary::connect::Door;
use crate::transport::tls::{self, Credentials, TlsError};

/// Head of an answer, bytes: as much as one read takes in.
const MAX_HEAD: usize = 64 * 1024;
/// Header fields of an answer.
const MAX_FIELDS: usize = 64;
/// Bytes that have to come within [`super::Limits::idle`], while there are so many to come.
const PACE: u64 = 4096;
/// Of an error page at most this much is read, so that the connection can be used again, bytes.
const MAX_PAGE: u64 = 64 * 1024;

/// A connection. It closes when it is dropped.
pub(super) struct Line {
    peer: Peer,
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
    idle: Duration,
}

/// The beginning of an answer.
pub(super) struct Answer {
    /// What the body is.
    pub(super) body: Body,
    /// When the request was sent.
    pub(super) began: Instant,
    stream: Incoming,
    path: String,
    idle: Duration,
    left: u64,
    since: Instant,
    moved: u64,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Line {
    /// Connects with what is signed for this appliance now.
    pub(super) async fn open(
        door: &Door,
        peer: &Peer,
        credentials: Arc<Credentials>,
        idle: Duration,
    ) -> Result<Self, PullError> {
        let stream = tls::connect(door, peer, &credentials, b"http/1.1").await?;
        let made = http1::Builder::new().max_buf_size(MAX_HEAD).max_headers(MAX_FIELDS).handshake(TokioIo::new(stream));
        let (sender, connection) = made.await.map_err(PullError::Broken)?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { peer: peer.clone(), sender, driver, idle })
    }

    /// Whether another question may be asked.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Asks for everything of a file from byte `from` on.
    ///
    /// # Errors
    /// No answer comes, or none that can be used. The notice goes with it: an answer that is refused may name another
    /// place too.
    pub(super) async fn ask(&mut self, ask: &Ask, from: u64) -> (Option<Code>, Result<Answer, PullError>) {
        let began = Instant::now();
        match self.head(ask, from).await {
            Err(error) => (None, Err(error)),
            Ok(response) => {
                let (head, stream) = response.into_parts();
                let notice = ask::notice(&head);
                let answer = ask.answered(&head, from).map(|body| Answer {
                    body,
                    began,
                    stream,
                    path: ask.path.clone(),
                    idle: self.idle,
                    left: match body {
                        Body::Rest => ask.limit - from,
                        Body::Whole { .. } => ask.limit,
                        Body::None => MAX_PAGE,
                    },
                    since: Instant::now(),
                    moved: 0,
                });
                (notice, answer)
            }
        }
    }

    async fn head(&mut self, ask: &Ask, from: u64) -> Result<http::Response<Incoming>, PullError> {
        let stalled = || PullError::Stalled { path: ask.path.clone() };
        let request = Request::get(&ask.path)
            .header(HOST, self.peer.socket().to_string())
            // The bytes that were signed, and no others.
            .header(ACCEPT_ENCODING, "identity");
        let request = if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request };
        let refuse = |error: http::Error| PullError::Answer { path: ask.path.clone(), why: error.to_string() };
        let request = request.body(Empty::new()).map_err(refuse)?;
        let answering = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let answered = timeout(self.idle, answering).await.map_err(|_| stalled())?;
        answered.map_err(|error| broken(&self.peer, error))
    }
}

impl Answer {
    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// It breaks off, stalls, or is longer than it may be.
    pub(super) async fn next(&mut self, peer: &Peer) -> Result<Option<Bytes>, PullError> {
        loop {
            let deadline = self.since + self.idle;
            let stalled = || PullError::Stalled { path: self.path.clone() };
            let frame = timeout_at(deadline, self.stream.frame()).await.map_err(|_| stalled())?;
            let Some(frame) = frame else { return Ok(None) };
            let Ok(bytes) = frame.map_err(|error| broken(peer, error))?.into_data() else { continue };
            let count = bytes.len() as u64;
            if count > self.left {
                let expected = self.left;
                return Err(PullError::Length { path: self.path.clone(), expected, found: count });
            }
            self.left -= count;
            self.moved += count;
            if self.moved >= PACE {
                (self.since, self.moved) = (Instant::now(), 0);
            }
            return Ok(Some(bytes));
        }
    }

    /// For so long the peer could not go on: what it sent had to be passed on first.
    pub(super) fn excuse(&mut self, time: Duration) {
        self.since += time;
    }
}

/// An error of a connection. That the peer refuses our certificate shows only now.
fn broken(peer: &Peer, error: hyper::Error) -> PullError {
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let tls = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        if let Some(tls) = tls.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return TlsError::of(&peer.id, std::io::Error::other(tls.clone())).into();
        }
        source = cause.source();
    }
    if error.is_parse() || error.is_parse_too_large() { PullError::Garbage(error) } else { PullError::Broken(error) }
}
