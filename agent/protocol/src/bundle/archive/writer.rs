//! Members in, bytes out.

use thiserror::Error;

use super::header::{self, BLOCK};
use super::member::{Member, MemberKind};
use super::reader::padding;
use crate::code::{Code, Explain};

/// Writes an archive. It holds the form only; [`super::super::appraisal`] holds the order, and whoever writes bundles
/// runs it over the result before anybody else sees it.
///
/// The caller moves the bytes: a header, the content, the padding, … and [`Writer::end`].
#[derive(Debug)]
pub struct Writer;

/// A member that has no place in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriterError {
    /// The name is longer than 100 bytes or the content longer than 8 GiB.
    #[error("{name} ({length} bytes) does not fit an archive header")]
    TooLarge {
        /// The member.
        name: String,
        /// Its length, bytes.
        length: u64,
    },
    /// There is no content.
    #[error("{name} is empty; nothing signed is")]
    Empty {
        /// The member.
        name: String,
    },
}

impl Explain for WriterError {
    fn code(&self) -> Code {
        Code::TooLarge
    }
}

impl Writer {
    /// The header of a member of `length` bytes, to be followed by the content and [`Self::padding`].
    ///
    /// # Errors
    /// The name or the length does not fit, or the content is empty.
    pub fn header(kind: &MemberKind, length: u64) -> Result<[u8; BLOCK], WriterError> {
        if length == 0 {
            return Err(WriterError::Empty { name: kind.to_string() });
        }
        header::encode(&Member { kind: kind.clone(), length })
            .ok_or_else(|| WriterError::TooLarge { name: kind.to_string(), length })
    }

    /// The zero bytes after a content of `length` bytes.
    #[must_use]
    pub fn padding(length: u64) -> &'static [u8] {
        &[0; BLOCK][..padding(length)]
    }

    /// The end mark: two zero blocks.
    #[must_use]
    pub fn end() -> &'static [u8] {
        &[0; 2 * BLOCK]
    }

    /// Appends a whole small member to `archive`.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn append(archive: &mut Vec<u8>, kind: &MemberKind, content: &[u8]) -> Result<(), WriterError> {
        let length = content.len() as u64;
        archive.extend_from_slice(&Self::header(kind, length)?);
        archive.extend_from_slice(content);
        archive.extend_from_slice(Self::padding(length));
        Ok(())
    }

    /// Bytes a member of `length` takes in an archive.
    #[must_use]
    pub fn size(length: u64) -> u64 {
        BLOCK as u64 + length + padding(length) as u64
    }
}
