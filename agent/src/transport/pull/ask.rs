//! One question to a repository, and what the head of an answer means.

use casemate_protocol::bundle::appraisal::Piece;
use casemate_protocol::code::Code;
use casemate_protocol::tuf::client::Optional;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName, TRANSFER_ENCODING};
use hyper::{StatusCode, Version, header, http};

use super::error::PullError;

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// The request's target: a path, quoted.
    pub(super) path: String,
    /// How long it may be, bytes.
    pub(super) limit: u64,
    /// Whether it has to be just as long.
    pub(super) length: Length,
    /// Whether it may be absent.
    pub(super) optional: Optional,
}

/// What is known of a file's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// It is signed.
    Exact,
    /// It has a limit.
    AtMost,
}

/// What to do with the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// It is the file, but for the bytes that were there before.
    Rest,
    /// It is the whole file: that many bytes of it were there before.
    Whole {
        /// To be passed over.
        before: u64,
    },
    /// There is no such file.
    None,
}

impl Ask {
    /// A file of the metadata folder.
    pub(super) fn metadata(path: &str, limit: u64, optional: Optional) -> Self {
        Self { path: format!("/metadata/{path}"), limit, length: Length::AtMost, optional }
    }

    /// A target's content.
    pub(super) fn piece(piece: &Piece) -> Self {
        let path = format!("/targets/{}", piece.path);
        Self { path, limit: piece.length, length: Length::Exact, optional: Optional::No }
    }

    /// What an answer with this head is, to a request for everything from byte `from` on.
    ///
    /// # Errors
    /// It is no answer to that.
    pub(super) fn answered(&self, head: &http::response::Parts, from: u64) -> Result<Body, PullError> {
        let refuse = |why: String| PullError::Answer { path: self.path.clone(), why };
        if head.version != Version::HTTP_11 {
            return Err(refuse(format!("it speaks {:?}, expected HTTP/1.1", head.version)));
        }
        if head.status.is_redirection() {
            return Err(PullError::Redirected { path: self.path.clone(), status: head.status.as_u16() });
        }
        let encoded = |name: &HeaderName, plain: &str| {
            let mut values = head.headers.get_all(name).iter();
            values.any(|value| !value.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
        };
        if encoded(&CONTENT_ENCODING, "identity") || encoded(&TRANSFER_ENCODING, "chunked") {
            return Err(refuse("it is compressed, which was not asked for".into()));
        }
        let length = number(&head.headers, &CONTENT_LENGTH).map_err(refuse)?;
        let (body, expected) = match head.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Body::None),
            StatusCode::OK => (Body::Whole { before: from }, self.limit),
            StatusCode::PARTIAL_CONTENT if from > 0 => {
                let expected = format!("bytes {from}-{}/{}", self.limit - 1, self.limit);
                let found = head.headers.get(CONTENT_RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()));
                if found.as_deref() != Some(expected.as_str()) {
                    return Err(refuse(format!("its range is {found:?}, expected {expected:?}")));
                }
                (Body::Rest, self.limit - from)
            }
            other => return Err(refuse(format!("its status is {}", other.as_u16()))),
        };
        match length {
            Some(found) if found > expected || (found != expected && self.length == Length::Exact) => {
                Err(PullError::Length { path: self.path.clone(), expected, found })
            }
            _ => Ok(body),
        }
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, String> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| format!("{name} is no number"))
}

/// What of an answer is to be remembered, though nothing is done about it: that it names another place to go.
pub(super) fn notice(head: &http::response::Parts) -> Option<Code> {
    let names = [header::ALT_SVC, header::REFRESH];
    let elsewhere = head.status.is_redirection() || names.iter().any(|name| head.headers.contains_key(name));
    elsewhere.then_some(Code::RedirectIgnored)
}
