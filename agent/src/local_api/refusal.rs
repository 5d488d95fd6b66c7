//! Requests that are refused before, or instead of, an answer.

use std::path::PathBuf;

use casemate_protocol::code::{Class, Code, Explain};
use hyper::{Method, StatusCode};
use thiserror::Error;

use super::caller::Caller;
use super::spool::SpoolError;
use crate::exit::Failure;

/// Longest document read from a request, bytes: a grant with its root is the largest.
pub(super) const MAX_BODY: usize = 2 * 1024 * 1024;
/// Longest report of a consumer, bytes: names and a number.
pub(super) const MAX_REPORT: usize = 16 * 1024;

/// Why a request is refused here.
#[derive(Debug, Error)]
pub(super) enum RequestError {
    /// No such route.
    #[error("there is no {method} {path}")]
    Unknown {
        /// As asked.
        method: Method,
        /// As asked.
        path: String,
    },
    /// The path is known by other methods.
    #[error("{path} does not take {method}, it takes {}", methods(.allowed))]
    Method {
        /// As asked.
        method: Method,
        /// As asked.
        path: String,
        /// What it takes.
        allowed: Vec<Method>,
    },
    /// Whoever asks may not ask that.
    #[error("{path} is not for {caller}")]
    Caller {
        /// Who asks.
        caller: Caller,
        /// As asked.
        path: String,
    },
    /// What a path names does not exist here.
    #[error("there is no {what} {value:?} here")]
    Nothing {
        /// Kind of thing.
        what: &'static str,
        /// Its name as asked.
        value: String,
    },
    /// A query or header that the route does not take.
    #[error("{name} = {value:?} is not what this route takes")]
    Parameter {
        /// Which.
        name: String,
        /// As given.
        value: String,
    },
    /// The body is not what the route takes.
    #[error("the body is not what {path} takes")]
    Body {
        /// The route.
        path: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A path that depends on where the agent was started.
    #[error("{0:?} is not an absolute path")]
    Relative(PathBuf),
    /// A body of another media type.
    #[error("the body is {found}, this route takes {}", .wanted.join(" or "))]
    Media {
        /// What it is.
        found: String,
        /// What it may be.
        wanted: Vec<&'static str>,
    },
    /// The body is too long.
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// What is read.
        limit: usize,
    },
    /// The body broke off.
    #[error("the body broke off")]
    Broken,
    /// No byte of the body came for too long.
    #[error("the body stopped coming")]
    Silent,
    /// A range beyond the file's end.
    #[error("the range lies beyond the {length} bytes of the file")]
    Range {
        /// The file's length.
        length: u64,
    },
    /// All places for what takes long are taken.
    #[error("{limit} {what} are open through this socket already")]
    Places {
        /// What takes long.
        what: &'static str,
        /// How many may.
        limit: usize,
    },
    /// This certificate sends a bundle already.
    #[error("a bundle is being received with this certificate already")]
    Sending,
    /// The queue in front of the loop is full.
    #[error("too many calls are waiting")]
    Overload,
    /// The loop has ended.
    #[error("the agent is stopping")]
    Stopping,
    /// Something of ours failed.
    #[error("cannot {action}")]
    Failed {
        /// What.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn methods(allowed: &[Method]) -> String {
    allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

impl RequestError {
    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unknown { .. } | Self::Nothing { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Caller { .. } => StatusCode::FORBIDDEN,
            Self::Parameter { .. } | Self::Body { .. } | Self::Relative(_) | Self::Broken => StatusCode::BAD_REQUEST,
            Self::Media { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Silent => StatusCode::REQUEST_TIMEOUT,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Places { .. } | Self::Sending | Self::Overload | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Explain for RequestError {
    fn code(&self) -> Code {
        match self {
            Self::Unknown { .. } | Self::Nothing { .. } => Code::NotFound,
            Self::Caller { .. } => Code::NotPermitted,
            Self::Method { .. }
            | Self::Parameter { .. }
            | Self::Body { .. }
            | Self::Relative(_)
            | Self::Media { .. }
            | Self::Broken
            | Self::Silent
            | Self::Range { .. } => Code::UsageInvalid,
            Self::TooLong { .. } => Code::TooLarge,
            Self::Places { .. } | Self::Sending | Self::Overload => Code::Overload,
            Self::Stopping => Code::AgentUnreachable,
            Self::Failed { .. } => Code::Internal,
        }
    }

    fn remedy(&self) -> String {
        match self.code() {
            Code::UsageInvalid | Code::TooLarge => "See GET /v1/openapi.json for what each route takes.".into(),
            code => code.remedy().into(),
        }
    }
}

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) failure: Box<Failure>,
    /// A header that goes with it: name and value.
    pub(super) header: Option<(hyper::header::HeaderName, String)>,
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        let header = match &error {
            RequestError::Method { allowed, .. } => Some((hyper::header::ALLOW, methods(allowed))),
            RequestError::Range { length } => Some((hyper::header::CONTENT_RANGE, format!("bytes */{length}"))),
            RequestError::Places { .. } | RequestError::Sending | RequestError::Overload => {
                Some((hyper::header::RETRY_AFTER, "1".into()))
            }
            _ => None,
        };
        Self { status: error.status(), failure: Failure::of(&error).into(), header }
    }
}

impl From<SpoolError> for Refusal {
    fn from(error: SpoolError) -> Self {
        let header = match &error {
            SpoolError::TooMany(_) | SpoolError::Busy => Some((hyper::header::RETRY_AFTER, "5".into())),
            _ => None,
        };
        let status = match &error {
            SpoolError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => status(error.code()),
        };
        Self { status, failure: Failure::of(&error).into(), header }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { status: status(failure.code), failure: failure.into(), header: None }
    }
}

/// The HTTP status of what the runtime refuses.
fn status(code: Code) -> StatusCode {
    match (code, code.class()) {
        (Code::NotFound, _) => StatusCode::NOT_FOUND,
        (Code::UploadConflict | Code::NotAwaited | Code::AlreadyEnrolled | Code::NotEnrolled, _) => {
            StatusCode::CONFLICT
        }
        // What a request named, not what the agent lives on.
        (Code::InputUnreadable, _) | (_, Class::Done | Class::Refused) => StatusCode::UNPROCESSABLE_ENTITY,
        (Code::Internal | Code::IntakeFailed, _) | (_, Class::Damaged) => StatusCode::INTERNAL_SERVER_ERROR,
        (_, Class::Usage) => StatusCode::BAD_REQUEST,
        (_, Class::Environment) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_agents_own_fault_is_a_server_error() {
        for code in Code::ALL {
            let own = matches!(code.class(), Class::Damaged | Class::Environment) && *code != Code::InputUnreadable;
            assert_eq!(status(*code).is_server_error(), own, "{code}");
            assert!(!status(*code).is_success(), "{code}");
        }
        let refused = RequestError::Range { length: 9 };
        assert_eq!(Refusal::from(refused).header.unwrap().1, "bytes */9");
    }
}
