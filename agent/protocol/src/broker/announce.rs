//! Announcements: which bundle a broker holds, and the digest of each chunk of it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::canonical;
use crate::code::{Code, Explain};
use crate::digest::Digest;
use crate::tuf::role::Version;

/// Length of every chunk but the last, bytes: brokers hold it in memory several times over.
pub const CHUNK_LENGTH: u32 = 256 * 1024;
/// Longest bundle that travels in chunks, bytes; a longer one is announced for pull.
pub const MAX_BUNDLE: u64 = 64 * 1024 * 1024;
/// Longest announcement, bytes: 256 digests and what stands around them.
pub const MAX_ANNOUNCE: usize = 32 * 1024;

/// What is retained under `…/bundles/announce`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announce {
    /// A bundle the broker holds.
    Chunked(Chunked),
    /// A bundle too large for brokers: look at the repository.
    Pull {
        /// Version of its timestamp.
        timestamp: Version,
    },
}

/// A bundle in chunks. Made by [`Announce::parse`] or [`Chunked::of`], so its numbers agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunked {
    /// SHA-256 of the whole.
    pub bundle: Digest,
    /// Its length, bytes.
    pub length: u64,
    /// Version of its timestamp.
    pub timestamp: Version,
    /// SHA-256 of each chunk, in order.
    pub chunks: Vec<Digest>,
}

/// As written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    timestamp: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bundle: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunk_length: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunks: Option<Vec<Digest>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pull: Option<bool>,
}

/// Why an announcement announces nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnnounceError {
    /// Too long.
    #[error("the announcement has {0} bytes, at most {MAX_ANNOUNCE} are read")]
    TooLong(usize),
    /// No JSON of this form.
    #[error("not an announcement: {0}")]
    Form(String),
    /// A format this version does not know.
    #[error("format {0}, expected 1")]
    Format(u32),
    /// Neither `pull` nor chunks, or both.
    #[error("expected either \"pull\": true or bundle, length, chunk_length and chunks")]
    Neither,
    /// Longer than travels in chunks, or empty.
    #[error("a bundle of {0} bytes, expected 1 to {MAX_BUNDLE}")]
    Length(u64),
    /// Another length of chunks.
    #[error("chunks of {0} bytes, expected {CHUNK_LENGTH}")]
    ChunkLength(u32),
    /// Number and length do not agree.
    #[error("{found} chunks, a bundle of this length has {expected}")]
    Count {
        /// As announced.
        found: usize,
        /// As the length says.
        expected: u64,
    },
}

impl Explain for AnnounceError {
    fn code(&self) -> Code {
        Code::PeerMisbehaved
    }
}

impl Announce {
    /// Reads an announcement.
    ///
    /// # Errors
    /// It is none, or its numbers do not agree.
    pub fn parse(text: &[u8]) -> Result<Self, AnnounceError> {
        if text.len() > MAX_ANNOUNCE {
            return Err(AnnounceError::TooLong(text.len()));
        }
        let form = |error: &dyn std::error::Error| AnnounceError::Form(error.to_string().chars().take(120).collect());
        let value = canonical::parse(text).map_err(|error| form(&error))?;
        let written: Written = serde_json::from_value(value).map_err(|error| form(&error))?;
        if written.format != 1 {
            return Err(AnnounceError::Format(written.format));
        }
        match (written.pull, written.bundle, written.length, written.chunk_length, written.chunks) {
            (Some(true), None, None, None, None) => Ok(Self::Pull { timestamp: written.timestamp }),
            (None, Some(bundle), Some(length), Some(chunk_length), Some(chunks)) => {
                if chunk_length != CHUNK_LENGTH {
                    return Err(AnnounceError::ChunkLength(chunk_length));
                }
                let chunked = Chunked { bundle, length, timestamp: written.timestamp, chunks };
                chunked.check()?;
                Ok(Self::Chunked(chunked))
            }
            _ => Err(AnnounceError::Neither),
        }
    }

    /// Canonical JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let written = match self {
            Self::Pull { timestamp } => Written {
                format: 1,
                timestamp: *timestamp,
                bundle: None,
                length: None,
                chunk_length: None,
                chunks: None,
                pull: Some(true),
            },
            Self::Chunked(chunked) => Written {
                format: 1,
                timestamp: chunked.timestamp,
                bundle: Some(chunked.bundle),
                length: Some(chunked.length),
                chunk_length: Some(CHUNK_LENGTH),
                chunks: Some(chunked.chunks.clone()),
                pull: None,
            },
        };
        // Every field has a form in JSON.
        canonical::encode(&serde_json::to_value(written).unwrap_or_default())
    }

    /// Version of the announced bundle's timestamp.
    #[must_use]
    pub fn timestamp(&self) -> Version {
        match self {
            Self::Chunked(chunked) => chunked.timestamp,
            Self::Pull { timestamp } => *timestamp,
        }
    }
}

impl Chunked {
    /// The announcement of a bundle whose chunks have these digests.
    ///
    /// # Errors
    /// Number and length do not agree, or it is too long.
    pub fn of(bundle: Digest, length: u64, timestamp: Version, chunks: Vec<Digest>) -> Result<Self, AnnounceError> {
        let chunked = Self { bundle, length, timestamp, chunks };
        chunked.check()?;
        Ok(chunked)
    }

    fn check(&self) -> Result<(), AnnounceError> {
        if !(1..=MAX_BUNDLE).contains(&self.length) {
            return Err(AnnounceError::Length(self.length));
        }
        let expected = self.length.div_ceil(u64::from(CHUNK_LENGTH));
        match self.chunks.len() {
            found if found as u64 == expected => Ok(()),
            found => Err(AnnounceError::Count { found, expected }),
        }
    }

    /// Where chunk `index` begins, and its length; `None` if there is none.
    #[must_use]
    pub fn extent(&self, index: usize) -> Option<(u64, u32)> {
        self.chunks.get(index)?;
        let offset = index as u64 * u64::from(CHUNK_LENGTH);
        let rest = u32::try_from(self.length.checked_sub(offset)?).unwrap_or(u32::MAX);
        Some((offset, rest.min(CHUNK_LENGTH)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked() -> Chunked {
        let chunks = vec![Digest::of(b"a"), Digest::of(b"b")];
        Chunked::of(Digest::of(b"ab"), u64::from(CHUNK_LENGTH) + 1, Version::FIRST, chunks).unwrap()
    }

    #[test]
    fn what_is_announced_is_read_again() {
        for announce in [Announce::Chunked(chunked()), Announce::Pull { timestamp: Version::new(7).unwrap() }] {
            assert_eq!(Announce::parse(&announce.encode()), Ok(announce));
        }
        assert_eq!(chunked().extent(1), Some((u64::from(CHUNK_LENGTH), 1)));
        assert_eq!(chunked().extent(2), None);
    }

    #[test]
    fn the_longest_bundle_fits_into_an_announcement() {
        let count = usize::try_from(MAX_BUNDLE / u64::from(CHUNK_LENGTH)).unwrap();
        let newest = Version::new(1 << 53 >> 1).unwrap();
        let chunked = Chunked::of(Digest::of(b""), MAX_BUNDLE, newest, vec![Digest::of(b""); count]).unwrap();
        let text = Announce::Chunked(chunked.clone()).encode();
        assert!(text.len() < MAX_ANNOUNCE, "{}", text.len());
        assert_eq!(Announce::parse(&text), Ok(Announce::Chunked(chunked)));
    }

    #[test]
    fn absurd_numbers_announce_nothing() {
        let text = |length: &str, chunk_length: &str, count: usize| {
            let chunks = vec![format!("{:?}", Digest::of(b"").to_string()); count].join(",");
            format!(
                r#"{{"bundle":"{}","chunk_length":{chunk_length},"chunks":[{chunks}],"format":1,"length":{length},"timestamp":1}}"#,
                Digest::of(b"")
            )
        };
        assert!(Announce::parse(text("1", "262144", 1).as_bytes()).is_ok(), "control");
        for (length, chunk_length, count) in [
            ("0", "262144", 0),
            ("0", "262144", 1),
            ("67108865", "262144", 257),
            ("18446744073709551615", "262144", 1),
            ("18446744073709551616", "262144", 1),
            ("-1", "262144", 1),
            ("1", "0", 1),
            ("1", "262143", 1),
            ("1", "4294967295", 1),
            ("1", "262144", 2),
            ("262145", "262144", 1),
            ("1.5", "262144", 1),
        ] {
            assert!(Announce::parse(text(length, chunk_length, count).as_bytes()).is_err(), "{length} {chunk_length}");
        }
    }

    #[test]
    fn everything_else_is_no_announcement() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"format":1,"timestamp":1}"#,
            r#"{"format":1,"timestamp":1,"pull":false}"#,
            r#"{"format":2,"timestamp":1,"pull":true}"#,
            r#"{"format":1,"timestamp":0,"pull":true}"#,
            r#"{"format":1,"timestamp":1,"pull":true,"pull":true}"#,
            r#"{"format":1,"timestamp":1,"pull":true,"length":1}"#,
            r#"{"format":1,"timestamp":1,"pull":true,"url":"x"}"#,
        ] {
            assert!(Announce::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Announce::parse(&vec![b' '; MAX_ANNOUNCE + 1]), Err(AnnounceError::TooLong(MAX_ANNOUNCE + 1)));
    }
}
