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

#[cfg(test)]
mod tests {
    use casemate_protocol::code::Explain;
    use casemate_protocol::digest::Digest;

    use super::*;

    fn part() -> Ask {
        let digest = Digest::of(b"part");
        Ask::piece(&Piece {
            target: "groups/g/files/x".into(),
            path: format!("groups/g/files/{digest}.x"),
            digest,
            length: 100,
        })
    }

    fn head(status: u16, fields: &[(&str, &str)]) -> http::response::Parts {
        let builder = http::Response::builder().status(status).version(Version::HTTP_11);
        let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_digest_stands_before_the_file_name_below_the_targets() {
        assert_eq!(part().path, format!("/targets/groups/g/files/{}.x", Digest::of(b"part")));
        assert_eq!(Ask::metadata("timestamp.json", 9, Optional::No).path, "/metadata/timestamp.json");
    }

    #[test]
    fn only_the_bytes_asked_for_are_an_answer() {
        let whole = head(200, &[("content-length", "100")]);
        assert_eq!(part().answered(&whole, 0).unwrap(), Body::Whole { before: 0 });
        assert_eq!(part().answered(&whole, 40).unwrap(), Body::Whole { before: 40 }, "it cannot resume");
        let rest = |range: &str, length: &str| head(206, &[("content-range", range), ("content-length", length)]);
        assert_eq!(part().answered(&rest("bytes 40-99/100", "60"), 40).unwrap(), Body::Rest);
        assert_eq!(part().answered(&head(206, &[("content-range", "bytes 40-99/100")]), 40).unwrap(), Body::Rest);
        for (range, length) in [
            ("bytes 41-99/100", "59"),
            ("bytes 40-98/100", "59"),
            ("bytes 40-99/101", "60"),
            ("bytes 40-99/*", "60"),
            ("bytes 40-99/100", "59"),
            ("bytes 40-99/100", "61"),
            ("", "60"),
        ] {
            let refused = part().answered(&rest(range, length), 40).unwrap_err();
            assert_eq!(refused.code(), Code::PeerMisbehaved, "{range} {length}");
        }
        assert!(part().answered(&rest("bytes 0-99/100", "100"), 0).is_err(), "the whole was asked for");
        assert_eq!(part().answered(&head(404, &[]), 0).unwrap(), Body::None);
    }

    #[test]
    fn lengths_bind_before_anything_is_read() {
        for length in ["99", "101", "-1", "x", "99999999999999999999"] {
            let refused = part().answered(&head(200, &[("content-length", length)]), 0).unwrap_err();
            assert_eq!(refused.code(), Code::PeerMisbehaved, "{length}");
        }
        let metadata = Ask::metadata("timestamp.json", 100, Optional::No);
        assert!(metadata.answered(&head(200, &[("content-length", "99")]), 0).is_ok());
        assert!(metadata.answered(&head(200, &[("content-length", "101")]), 0).is_err());
    }

    #[test]
    fn nothing_leads_elsewhere_and_that_it_would_is_remembered() {
        for status in [301, 302, 303, 304, 307, 308] {
            let head = head(status, &[("location", "https://203.0.113.1/")]);
            assert_eq!(part().answered(&head, 0).unwrap_err().code(), Code::RedirectIgnored);
            assert_eq!(notice(&head), Some(Code::RedirectIgnored));
        }
        assert_eq!(notice(&head(200, &[("alt-svc", "h3=\":443\"")])), Some(Code::RedirectIgnored));
        assert_eq!(notice(&head(404, &[("refresh", "0")])), Some(Code::RedirectIgnored));
        assert_eq!(notice(&head(200, &[("link", "</x>"), ("set-cookie", "a=b")])), None);
    }
}
