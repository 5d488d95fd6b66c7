//! From method, path and body to a call.

use std::path::PathBuf;

use casemate_protocol::code::{Class, Code, Explain};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use thiserror::Error;

use super::call::{Call, ImportSource};

/// A request that is no call.
#[derive(Debug, Error)]
pub(super) enum RouteError {
    /// No such route.
    #[error("there is no {method} {path}")]
    Unknown {
        /// As asked.
        method: Method,
        /// As asked.
        path: String,
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
}

impl Explain for RouteError {
    fn code(&self) -> Code {
        Code::UsageInvalid
    }

    fn remedy(&self) -> String {
        "Use the agent's own commands, or see the API's description.".into()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundles {
    path: PathBuf,
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    words: String,
}

pub(super) fn route(method: &Method, path: &str, body: &[u8]) -> Result<Call, RouteError> {
    let unknown = || RouteError::Unknown { method: method.clone(), path: path.chars().take(200).collect() };
    if let Some(rest) = path.strip_prefix("/v1/receipts/") {
        let (number, taken) = rest.strip_suffix("/taken").map_or((rest, false), |number| (number, true));
        let sequence = number.parse().map_err(|_| unknown())?;
        return match (method, taken) {
            (&Method::GET, false) => Ok(Call::Receipt { sequence }),
            (&Method::POST, true) => Ok(Call::ReceiptTaken { sequence }),
            _ => Err(unknown()),
        };
    }
    match (method, path) {
        (&Method::GET, "/v1/health") => Ok(Call::Health),
        (&Method::GET, "/v1/status") => Ok(Call::Status),
        (&Method::GET, "/v1/tree") => Ok(Call::Tree),
        (&Method::GET, "/v1/diff") => Ok(Call::Diff),
        (&Method::GET, "/v1/receipts") => Ok(Call::Receipts),
        (&Method::POST, "/v1/bundles") => {
            let refuse = |source| RouteError::Body { path: "/v1/bundles", source };
            let Bundles { path, wait, dry_run } = serde_json::from_slice(body).map_err(refuse)?;
            if !path.is_absolute() {
                return Err(RouteError::Relative(path));
            }
            Ok(Call::Import { source: ImportSource::Path(path), wait, dry_run })
        }
        (&Method::POST, "/v1/enrolment/request") => Ok(Call::EnrolRequest),
        (&Method::POST, "/v1/enrolment/grant") => Ok(Call::EnrolGrant { grant: body.to_vec() }),
        (&Method::POST, "/v1/enrolment/words") => {
            let refuse = |source| RouteError::Body { path: "/v1/enrolment/words", source };
            let Words { words } = serde_json::from_slice(body).map_err(refuse)?;
            Ok(Call::EnrolWords { words })
        }
        _ => Err(unknown()),
    }
}

/// The request line and body of a call: [`route`] the other way round.
/// None for a call that is no exchange of documents: a stream in or out.
pub(super) fn express(call: &Call) -> Option<(Method, String, Vec<u8>)> {
    let json = |value: serde_json::Value| value.to_string().into_bytes();
    Some(match call {
        Call::EnrolRequest => (Method::POST, "/v1/enrolment/request".into(), Vec::new()),
        Call::EnrolGrant { grant } => (Method::POST, "/v1/enrolment/grant".into(), grant.clone()),
        Call::EnrolWords { words } => {
            (Method::POST, "/v1/enrolment/words".into(), json(serde_json::json!({ "words": words })))
        }
        Call::Import { source: ImportSource::Path(path), wait, dry_run } => {
            let body = json(serde_json::json!({ "path": path, "wait": wait, "dry_run": dry_run }));
            (Method::POST, "/v1/bundles".into(), body)
        }
        Call::Import { source: ImportSource::Stream(_), .. } | Call::File { .. } => return None,
        Call::Tree => (Method::GET, "/v1/tree".into(), Vec::new()),
        Call::Diff => (Method::GET, "/v1/diff".into(), Vec::new()),
        Call::Report { consumer, report } => {
            let body = json(serde_json::to_value(report).unwrap_or_default());
            (Method::POST, format!("/v1/consumers/{consumer}/reports"), body)
        }
        Call::Health => (Method::GET, "/v1/health".into(), Vec::new()),
        Call::Status => (Method::GET, "/v1/status".into(), Vec::new()),
        Call::Receipts => (Method::GET, "/v1/receipts".into(), Vec::new()),
        Call::Receipt { sequence } => (Method::GET, format!("/v1/receipts/{sequence}"), Vec::new()),
        Call::ReceiptTaken { sequence } => (Method::POST, format!("/v1/receipts/{sequence}/taken"), Vec::new()),
    })
}

/// The HTTP status of a failure.
pub(super) fn status(code: Code) -> StatusCode {
    match code.class() {
        Class::Done => StatusCode::OK,
        Class::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        Class::Usage => StatusCode::BAD_REQUEST,
        Class::Environment => StatusCode::SERVICE_UNAVAILABLE,
        Class::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_route_that_leads_back_to_it() {
        for call in [
            Call::EnrolRequest,
            Call::EnrolGrant { grant: b"{}".to_vec() },
            Call::EnrolWords { words: "lusab".into() },
            Call::Import { source: ImportSource::Path("/media/stick".into()), wait: true, dry_run: false },
            Call::Health,
            Call::Status,
            Call::Receipts,
            Call::Receipt { sequence: 7 },
            Call::ReceiptTaken { sequence: 7 },
        ] {
            let (method, path, body) = express(&call).unwrap();
            assert_eq!(format!("{:?}", route(&method, &path, &body).unwrap()), format!("{call:?}"));
        }
    }

    #[test]
    fn what_has_no_route_is_refused() {
        for (method, path, body) in [
            (Method::POST, "/v1/health", ""),
            (Method::GET, "/v2/health", ""),
            (Method::GET, "/v1/receipts/-1", ""),
            (Method::GET, "/v1/receipts/1/taken", ""),
            (Method::POST, "/v1/bundles", "{\"path\":\"relative\"}"),
            (Method::POST, "/v1/bundles", "{\"path\":\"/a\",\"force\":true}"),
        ] {
            assert!(route(&method, path, body.as_bytes()).is_err(), "{method} {path} {body}");
        }
    }
}
