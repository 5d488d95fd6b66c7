//! The other end of the socket: what commands use while a daemon runs.

use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;

use super::call::{Answer, Call};
use super::routes;
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
    /// The request cannot be written.
    #[error("the request cannot be written")]
    Request(#[source] hyper::http::Error),
    /// The call is a stream, which no plain exchange can carry.
    #[error("this call cannot be asked through the socket in one exchange")]
    Stream,
    /// The answer is not what this version knows.
    #[error("the agent's answer has another shape")]
    Answer(#[source] serde_json::Error),
}

impl Explain for ClientError {
    fn code(&self) -> Code {
        match self {
            Self::Broken { .. } => Code::AgentUnreachable,
            Self::Request(_) | Self::Stream | Self::Answer(_) => Code::Internal,
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
        let broken = |source| ClientError::Broken { path: self.path.clone(), source };
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.stream)).await.map_err(broken)?;
        tokio::spawn(async move {
            // An error here ends the exchange below with an error of its own.
            let _ended = connection.await;
        });
        let (method, path, body) = routes::express(call).ok_or(ClientError::Stream)?;
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "agent")
            .body(Full::new(Bytes::from(body)))
            .map_err(ClientError::Request)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let done = response.status().is_success();
        let text = response.into_body().collect().await.map_err(broken)?.to_bytes();
        if done {
            return Ok(serde_json::from_slice(&text).map_err(ClientError::Answer)?);
        }
        Err(serde_json::from_slice::<Failure>(&text).map_err(ClientError::Answer)?)
    }
}
