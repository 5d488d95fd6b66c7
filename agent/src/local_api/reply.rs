//! Replies.

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::body::Body;
use super::refusal::Refusal;
use super::routes::{EVENTS, JSON};

/// A reply of this status and nothing else.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A document.
pub(super) fn document(value: &Value) -> Response<Body> {
    json(StatusCode::OK, value.to_string())
}

/// A document that is text already.
pub(super) fn text(text: &'static str) -> Response<Body> {
    typed(StatusCode::OK, JSON, Body::of(text))
}

/// A document that was written a moment ago.
pub(super) fn recent(text: Bytes) -> Response<Body> {
    typed(StatusCode::OK, JSON, Body::of(text))
}

/// A stream of events.
pub(super) fn events(body: Body) -> Response<Body> {
    let mut response = typed(StatusCode::OK, EVENTS, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why not.
pub(super) fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.status, serde_json::to_string(&refusal.failure).unwrap_or_default());
    if let Some((name, value)) = &refusal.header
        && let Ok(value) = HeaderValue::from_str(value)
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A reply with a body of this media type.
pub(super) fn typed(status: StatusCode, media: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    typed(status, JSON, Body::of(text + "\n"))
}
