//! The listening socket.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::code::{Code, Explain};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::call::{Answer, Request};
use super::{peer, routes};
use crate::exit::Failure;

/// Longest body read, bytes: a grant with its root is the largest.
const MAX_BODY: usize = 2 * 1024 * 1024;
/// Connections served at once.
const MAX_CONNECTIONS: usize = 32;
/// A connection that sends no header for so long is closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the socket cannot be served, or a call not be answered.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The socket cannot be made.
    #[error("cannot listen on {path}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The queue in front of the loop is full.
    #[error("too many calls are waiting")]
    Overload,
    /// The loop has ended.
    #[error("the agent is stopping")]
    Stopping,
    /// The body is too long or broke off.
    #[error("the request's body cannot be read, at most {MAX_BODY} bytes are")]
    Body,
}

impl Explain for ServerError {
    fn code(&self) -> Code {
        match self {
            Self::Listen { .. } => Code::StateUnavailable,
            Self::Overload => Code::Overload,
            Self::Stopping => Code::AgentUnreachable,
            Self::Body => Code::UsageInvalid,
        }
    }
}

/// The local API's socket; removed when dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens on `path` with mode 0600, taking the place of a socket a dead agent left: the caller holds the state's
    /// lock, so there is no living one.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let fail = |source| ServerError::Listen { path: path.into(), source };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
        Ok(Self { listener, path: path.into() })
    }

    /// Serves until the future is dropped; every call goes into `calls`.
    pub async fn serve(&self, calls: mpsc::Sender<Request>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors: wait for a connection to end instead of spinning.
                let _freed = places.acquire().await;
                tokio::task::yield_now().await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            if !peer::allowed(&stream) {
                tracing::warn!(code = %Code::WrongUser, "a connection by another user was closed");
                continue;
            }
            let calls = calls.clone();
            tokio::spawn(async move {
                connection(stream, calls).await;
                drop(place);
            });
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

async fn connection(stream: UnixStream, calls: mpsc::Sender<Request>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let calls = calls.clone();
        async move { Ok::<_, Infallible>(respond(&answer(request, &calls).await)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn answer(request: hyper::Request<Incoming>, calls: &mpsc::Sender<Request>) -> Answer {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| ServerError::Body)?.to_bytes();
    let call = routes::route(&head.method, head.uri.path(), &body)?;
    let (reply, answered) = oneshot::channel();
    calls.try_send(Request { call, reply }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => ServerError::Overload,
        mpsc::error::TrySendError::Closed(_) => ServerError::Stopping,
    })?;
    answered.await.map_err(|_| ServerError::Stopping)?
}

fn respond(answer: &Result<Value, Failure>) -> Response<Full<Bytes>> {
    let (status, text) = match answer {
        Ok(value) => (StatusCode::OK, value.to_string()),
        Err(failure) => (routes::status(failure.code), serde_json::to_string(failure).unwrap_or_default()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text + "\n")));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    response
}
