//! A current file, whole or in part, sent piece by piece.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE};
use hyper::{Response, StatusCode};
use nix::fcntl::OFlag;

use super::answer::FilePlace;
use super::body::Body;
use super::places::Place;
use super::range::{Wish, wish};
use super::refusal::RequestError;
use super::reply;
use super::routes::BYTES;

/// Bytes read at once: all that is held of a file for one peer, beside what the socket buffers.
const PIECE: u64 = 128 * 1024;

/// A part of an open file that is still to be sent.
#[derive(Debug)]
pub(super) struct Extract {
    file: Arc<File>,
    from: u64,
    to: u64,
}

impl Extract {
    /// Bytes still to be read.
    pub(super) fn left(&self) -> u64 {
        self.to - self.from
    }

    /// The next piece, and what is left after it. A file that ends early breaks the reply off: the peer was told its
    /// length.
    pub(super) async fn next(self) -> io::Result<(Self, Bytes)> {
        let read = move || {
            let length = usize::try_from(self.left().min(PIECE)).unwrap_or(0);
            let mut bytes = vec![0; length];
            self.file.read_exact_at(&mut bytes, self.from)?;
            Ok((Self { from: self.from + length as u64, ..self }, Bytes::from(bytes)))
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

/// The reply with the file at `target`, or the part of it that `headers` ask for.
pub(super) async fn reply(
    target: FilePlace,
    headers: &HeaderMap,
    place: Place,
) -> Result<Response<Body>, RequestError> {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let length = target.length;
    let tag = format!("\"{}\"", target.object);
    let mut response = if header(IF_NONE_MATCH).is_some_and(|given| names(given, &tag)) {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        let range = header(RANGE).filter(|_| header(IF_RANGE).is_none_or(|given| given == tag));
        let (status, from, to) = match wish(range, length) {
            Wish::Whole => (StatusCode::OK, 0, length),
            Wish::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
            Wish::Beyond => return Err(RequestError::Range { length }),
        };
        let opened = tokio::task::spawn_blocking(move || open(&target))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        let file = Arc::new(opened.map_err(|source| RequestError::Failed { action: "open the file", source })?);
        let mut response = reply::typed(status, BYTES, Body::file(Extract { file, from, to }, place));
        if status == StatusCode::PARTIAL_CONTENT {
            // Digits and dashes: always a header.
            let part = format!("bytes {from}-{}/{length}", to - 1);
            response.headers_mut().extend(HeaderValue::from_str(&part).map(|part| (CONTENT_RANGE, part)));
        }
        response
    };
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().extend(HeaderValue::from_str(&tag).map(|tag| (ETAG, tag)));
    Ok(response)
}

/// Whether `If-None-Match: given` names `tag`; comparison is weak (RFC 9110 §13.1.2).
fn names(given: &str, tag: &str) -> bool {
    given.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

fn open(target: &FilePlace) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(&target.path)?;
    let found = file.metadata()?;
    if found.is_file() && found.len() == target.length {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has {} bytes, not {}", found.len(), target.length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_several_and_weakly() {
        assert!(names("\"a\"", "\"a\"") && names("\"b\", W/\"a\"", "\"a\"") && names("*", "\"a\""));
        assert!(!names("a", "\"a\"") && !names("\"b\"", "\"a\"") && !names("", "\"a\""));
    }

    #[test]
    fn a_file_comes_in_pieces_and_a_short_one_breaks_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..PIECE * 2 + 5).map(|at| at.to_le_bytes()[0]).collect();
        std::fs::write(&path, &content).unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut extract = Extract { file: Arc::clone(&file), from: 3, to: content.len() as u64 };
            let mut read = Vec::new();
            while extract.left() > 0 {
                let (rest, bytes) = extract.next().await.unwrap();
                assert!(bytes.len() as u64 <= PIECE);
                read.extend_from_slice(&bytes);
                extract = rest;
            }
            assert!(read == content[3..]);
            assert!(Extract { file, from: 0, to: u64::MAX }.next().await.is_ok());
            let short = Extract { file: Arc::new(File::open(&path).unwrap()), from: PIECE * 2, to: u64::MAX };
            assert_eq!(short.next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        });
    }
}
