//! The agent's consumer socket, as far as the helper needs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Name;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::exit::Failure;
use crate::local_api::answer::{ConsumerReport, StatusReport, TreeReport};

/// Where it stands unless the command line says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/casemate/consumer.sock";
/// Longest answer read, bytes: a few owners of 65,536 files each.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Longest line of an event, bytes: names, numbers and codes.
const MAX_LINE: usize = 64 * 1024;
/// An answer that does not come within this time never does. The event stream may be silent for ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why the agent did not answer.
#[derive(Debug, Error)]
pub enum ApiError {
    /// Nobody listens.
    #[error("cannot connect to {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke off.
    #[error("the connection to the agent broke off")]
    Broken(#[source] hyper::Error),
    /// The event stream ended.
    #[error("the agent ended the stream of events")]
    Ended,
    /// No answer in time.
    #[error("the agent did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Slow,
    /// An answer longer than any.
    #[error("the agent's answer is too long or broke off")]
    TooLong,
    /// The agent refuses.
    #[error("the agent refuses: {} ({})", .0.message, .0.code)]
    Refused(Failure),
    /// The answer is not what this version knows.
    #[error("the agent's answer has another shape")]
    Shape(#[source] serde_json::Error),
    /// The request cannot be written.
    #[error("the request cannot be written")]
    Request(#[source] hyper::http::Error),
}

impl Explain for ApiError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(failure) => failure.code,
            Self::Shape(_) | Self::Request(_) => Code::Internal,
            _ => Code::AgentUnreachable,
        }
    }
}

/// The socket.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    /// The socket at `socket`; nothing is connected yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.into() }
    }

    /// Begins to follow what changes from now on.
    ///
    /// # Errors
    /// The agent does not answer.
    pub async fn events(&self) -> Result<Events, ApiError> {
        let stream = self.connect().await?;
        let server = stream.peer_cred().map_err(|source| self.unconnected(source))?.uid();
        let response = timeout(ANSWER_WITHIN, send(stream, Method::GET, "/v1/events", String::new())).await;
        let response = response.map_err(|_| ApiError::Slow)??;
        if response.status().is_success() {
            return Ok(Events { server, body: response.into_body(), buffer: Vec::new() });
        }
        Err(refused(&whole(response).await?))
    }

    /// What is current.
    ///
    /// # Errors
    /// The agent does not answer.
    pub async fn tree(&self) -> Result<TreeReport, ApiError> {
        serde_json::from_slice(&self.ask(Method::GET, "/v1/tree", String::new()).await?).map_err(ApiError::Shape)
    }

    /// Where the owners stand, those included that have nothing current just now.
    ///
    /// # Errors
    /// The agent does not answer.
    pub async fn status(&self) -> Result<StatusReport, ApiError> {
        serde_json::from_slice(&self.ask(Method::GET, "/v1/status", String::new()).await?).map_err(ApiError::Shape)
    }

    /// Says whether `consumer` works with a generation.
    ///
    /// # Errors
    /// The agent does not answer, or does not wait for it.
    pub async fn report(&self, consumer: &Name, report: &ConsumerReport) -> Result<(), ApiError> {
        let body = serde_json::to_string(report).map_err(ApiError::Shape)?;
        self.ask(Method::POST, &format!("/v1/consumers/{consumer}/reports"), body).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Result<Bytes, ApiError> {
        let stream = self.connect().await?;
        let exchange = async {
            let response = send(stream, method, path, body).await?;
            let done = response.status().is_success();
            let text = whole(response).await?;
            if done { Ok(text) } else { Err(refused(&text)) }
        };
        timeout(ANSWER_WITHIN, exchange).await.map_err(|_| ApiError::Slow)?
    }

    async fn connect(&self) -> Result<UnixStream, ApiError> {
        UnixStream::connect(&self.socket).await.map_err(|source| self.unconnected(source))
    }

    fn unconnected(&self, source: std::io::Error) -> ApiError {
        ApiError::Connect { path: self.socket.clone(), source }
    }
}

async fn send(stream: UnixStream, method: Method, path: &str, body: String) -> Result<Response<Incoming>, ApiError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(ApiError::Broken)?;
    tokio::spawn(async move {
        // An error here ends the exchange with an error of its own; so does its end end this.
        let _ended = connection.await;
    });
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "agent")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(ApiError::Request)?;
    sender.send_request(request).await.map_err(ApiError::Broken)
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, ApiError> {
    let body = Limited::new(response.into_body(), MAX_ANSWER);
    Ok(body.collect().await.map_err(|_| ApiError::TooLong)?.to_bytes())
}

fn refused(text: &[u8]) -> ApiError {
    match serde_json::from_slice(text) {
        Ok(failure) => ApiError::Refused(failure),
        Err(error) => ApiError::Shape(error),
    }
}

/// The stream of events (server-sent events, WHATWG HTML §9.2).
#[derive(Debug)]
pub struct Events {
    /// The user who serves the socket.
    pub server: u32,
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    /// Waits for the next event and gives its name. What happened is read from the tree.
    ///
    /// # Errors
    /// The stream ended or broke off.
    pub async fn next(&mut self) -> Result<String, ApiError> {
        let mut name = None;
        loop {
            while let Some(line) = line(&mut self.buffer) {
                match (line.strip_prefix("event:"), &mut name) {
                    (Some(rest), name) => *name = Some(rest.trim().to_owned()),
                    (None, name) if line.is_empty() => {
                        if let Some(name) = name.take() {
                            return Ok(name);
                        }
                    }
                    // The id, the data, a comment.
                    _ => {}
                }
            }
            if self.buffer.len() > MAX_LINE {
                return Err(ApiError::TooLong);
            }
            let frame = self.body.frame().await.ok_or(ApiError::Ended)?.map_err(ApiError::Broken)?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}

/// Takes one whole line off the front.
fn line(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = buffer.drain(..=end).collect();
    Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn lines_come_whole_whatever_the_frames_were() {
        let mut buffer = b"event: gen".to_vec();
        assert_eq!(line(&mut buffer), None);
        buffer.extend_from_slice(b"eration\r\nid: 7\n\nda");
        let lines: Vec<_> = std::iter::from_fn(|| line(&mut buffer)).collect();
        assert_eq!(lines, ["event: generation", "id: 7", ""]);
        assert_eq!(buffer, b"da");
    }
}
