//! The other end of the socket: what commands use while a daemon runs, and what follows its events.

mod events;
mod express;

use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::net::UnixStream;

pub use self::events::{Events, Received};
use super::call::{Answer, Call};
use super::routes::JSON;
use crate::exit::Failure;

/// Why the agent did not answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The connection broke off.
    #[error("the agent at {path} did not answer")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The stream of events broke off.
    #[error("the agent's events broke off")]
    Stream(#[source] hyper::Error),
    /// An event without end.
    #[error("an event of the agent is too long")]
    TooLong,
    /// The request cannot be written.
    #[error("the request cannot be written")]
    Request(#[source] hyper::http::Error),
    /// The call carries a stream.
    #[error("this call is no exchange of documents")]
    Unspoken,
    /// The answer is not what this version knows.
    #[error("the agent's answer has another shape")]
    Answer(#[source] serde_json::Error),
}

impl Explain for ClientError {
    fn code(&self) -> Code {
        match self {
            Self::Broken { .. } | Self::Stream(_) => Code::AgentUnreachable,
            Self::TooLong | Self::Request(_) | Self::Unspoken | Self::Answer(_) => Code::Internal,
        }
    }
}

/// A connection to a running daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
}

impl Client {
    /// Connects, if anybody listens on `path`.
    pub async fn connect(path: &Path) -> Option<Self> {
        let stream = UnixStream::connect(path).await.ok()?;
        Some(Self { path: path.into(), stream })
    }

    /// Asks once.
    ///
    /// # Errors
    /// What the agent refuses, or that it did not answer.
    pub async fn call(self, call: &Call) -> Answer {
        let (method, path, document) = express::express(call).ok_or(ClientError::Unspoken)?;
        let mut request = hyper::Request::builder().method(method).uri(path).header(HOST, "agent");
        if document.is_some() {
            request = request.header(CONTENT_TYPE, JSON);
        }
        let body = document.map(|document| document.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(ClientError::Request)?;
        let socket = self.path.clone();
        let (_sender, response) = self.exchange(request).await?;
        let broken = |source| ClientError::Broken { path: socket, source };
        read(response).await.map_err(broken)?
    }

    /// Follows what happens after `sequence`, such as a tree's; from now on, if there is none. What is told before the
    /// answer of a later call is not missed.
    ///
    /// # Errors
    /// What the agent refuses, or that it did not answer.
    pub async fn follow(self, after: Option<u64>) -> Result<Events, Failure> {
        let path = after.map_or_else(|| "/v1/events".into(), |after| format!("/v1/events?after={after}"));
        let request = hyper::Request::builder().uri(path).header(HOST, "agent").body(Full::default());
        let socket = self.path.clone();
        let (_sender, response) = self.exchange(request.map_err(ClientError::Request)?).await?;
        if response.status().is_success() {
            return Ok(Events::new(response.into_body()));
        }
        let broken = |source| ClientError::Broken { path: socket, source };
        Err(read(response).await.map_err(broken)?.err().unwrap_or_else(|| Failure::of(&ClientError::TooLong)))
    }

    async fn exchange(
        self,
        request: hyper::Request<Full<Bytes>>,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), ClientError> {
        let broken = |source| ClientError::Broken { path: self.path.clone(), source };
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.stream)).await.map_err(broken)?;
        tokio::spawn(async move {
            // An error here ends the exchange with an error of its own.
            let _ended = connection.await;
        });
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok((sender, response))
    }
}

/// The document that came back, or why none did.
async fn read(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let done = response.status().is_success();
    let text = response.into_body().collect().await?.to_bytes();
    let document = |text: &[u8]| if text.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(text) };
    Ok(if done {
        document(&text).map_err(|source| Failure::of(&ClientError::Answer(source)))
    } else {
        Err(serde_json::from_slice(&text).unwrap_or_else(|source| Failure::of(&ClientError::Answer(source))))
    })
}
