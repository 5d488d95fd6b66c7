//! Why the agent gave no answer.

use std::path::PathBuf;
use std::time::Duration;

use casemate_protocol::code::{Code, Explain};
use thiserror::Error;

/// A call that brought nothing.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Nobody listens, or this user may not ask.
    #[error("cannot reach the agent at {socket}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection ended before the answer did.
    #[error("the agent's answer broke off")]
    Broken(#[source] hyper::Error),
    /// The request cannot be written.
    #[error("the request cannot be written")]
    Request(#[source] hyper::http::Error),
    /// The answer did not begin in time.
    #[error("the agent did not answer within {0:?}")]
    Silent(Duration),
    /// The stream of events ended; the agent stopped, or dropped a slow reader.
    #[error("the agent ended the stream of events")]
    Ended,
    /// The agent refused.
    #[error("the agent refused {route}: {code}")]
    Refused {
        /// What was asked.
        route: String,
        /// The agent's code, or the HTTP status where there is none.
        code: String,
    },
    /// More than an answer may have.
    #[error("the agent's answer to {route} is longer than {limit} bytes")]
    TooLong {
        /// What was asked.
        route: String,
        /// Most bytes read.
        limit: usize,
    },
    /// Not what this version knows.
    #[error("the agent's answer to {route} has another shape")]
    Shape {
        /// What was asked.
        route: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl AgentError {
    /// Whether the agent refused with this code.
    #[must_use]
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

impl Explain for AgentError {
    fn code(&self) -> Code {
        match self {
            Self::Request(_) | Self::TooLong { .. } | Self::Shape { .. } => Code::Internal,
            _ => Code::AgentUnreachable,
        }
    }
}
