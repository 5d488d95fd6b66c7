//! Calls over the agent's consumer socket: HTTP/1.1, one connection a call.

use std::path::PathBuf;
use std::time::Duration;

use casemate_protocol::device::id::{Name, Owner};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::error::AgentError;
use super::events::Events;
use super::tree::{Report, Tree, TreeFile};

/// Longest answer read whole, bytes: a few owners of 65,536 files each. Whoever signs for an owner decides how long the
/// tree is, also for an owner who may assign no firmware.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// The head of every answer comes within this, or the agent hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The agent behind its consumer socket.
#[derive(Clone, Debug)]
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent that listens on `socket`.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// What is current.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn tree(&self) -> Result<Tree, AgentError> {
        self.answer(request(Method::GET, "/v1/tree"), Bytes::new()).await
    }

    /// Events, those after `last` first if the agent still has them.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn events(&self, last: Option<&str>) -> Result<Events, AgentError> {
        let mut request = request(Method::GET, "/v1/events").header(header::ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let (_, response) = self.send(request, Bytes::new()).await?;
        Ok(Events::new(response.into_body()))
    }

    /// Tells the agent whether `consumer` works with a generation.
    ///
    /// # Errors
    /// See [`AgentError`]; `not-awaited` if the generation is no longer in probation.
    pub async fn report(&self, consumer: &Name, report: &Report) -> Result<(), AgentError> {
        let route = format!("/v1/consumers/{consumer}/reports");
        let shape = |source| AgentError::Shape { route: route.clone(), source };
        let body = serde_json::to_vec(report).map_err(shape)?;
        let request = request(Method::POST, &route).header(header::CONTENT_TYPE, "application/json");
        let _state: serde_json::Value = self.answer(request, body.into()).await?;
        Ok(())
    }

    /// A file's bytes from `offset` on.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn file(&self, owner: &Owner, file: &TreeFile, offset: u64) -> Result<Incoming, AgentError> {
        let route = format!("/v1/files/{}/{}", owner.tree(), file.path);
        let mut request = request(Method::GET, &route);
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        let (_, response) = self.send(request, Bytes::new()).await?;
        if offset > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(AgentError::Refused { route, code: "no ranges".into() });
        }
        Ok(response.into_body())
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<T, AgentError> {
        let (route, response) = self.send(request, body).await?;
        let text = whole(&route, response.into_body()).await?;
        serde_json::from_slice(&text).map_err(|source| AgentError::Shape { route, source })
    }

    /// Sends; an answer that is no success is an error.
    async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<(String, Response<Incoming>), AgentError> {
        let request = request.body(Full::new(body)).map_err(AgentError::Request)?;
        let route = format!("{} {}", request.method(), request.uri());
        let exchange = async {
            let unreachable = |source| AgentError::Unreachable { socket: self.socket.clone(), source };
            let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(AgentError::Broken)?;
            // Ends with the body of the answer; its error is told there too.
            tokio::spawn(connection);
            sender.send_request(request).await.map_err(AgentError::Broken)
        };
        let response = tokio::time::timeout(ANSWER_LIMIT, exchange).await;
        let response = response.map_err(|_| AgentError::Silent(ANSWER_LIMIT))??;
        if response.status().is_success() {
            return Ok((route, response));
        }
        let status = response.status();
        let text = whole(&route, response.into_body()).await?;
        let code = serde_json::from_slice::<Refusal>(&text).map_or_else(|_| status.as_str().into(), |said| said.code);
        Err(AgentError::Refused { route, code })
    }
}

#[derive(serde::Deserialize)]
struct Refusal {
    code: String,
}

fn request(method: Method, route: &str) -> hyper::http::request::Builder {
    Request::builder().method(method).uri(route).header(header::HOST, "agent")
}

async fn whole(route: &str, body: Incoming) -> Result<Bytes, AgentError> {
    let collected = tokio::time::timeout(ANSWER_LIMIT, Limited::new(body, MAX_ANSWER).collect()).await;
    match collected.map_err(|_| AgentError::Silent(ANSWER_LIMIT))? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(AgentError::TooLong { route: route.into(), limit: MAX_ANSWER })
        }
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(AgentError::Broken(*error)),
            Err(_) => Err(AgentError::Ended),
        },
    }
}
