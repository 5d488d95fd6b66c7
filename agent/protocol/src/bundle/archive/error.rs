//! What is wrong with an archive.

use std::fmt;

use thiserror::Error;

use super::member::MemberName;
use crate::code::{Code, Explain};

/// Why bytes are no bundle archive. Offsets count from the first byte of the file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArchiveError {
    /// A header is not the only one this member can have.
    #[error("header at byte {offset}: {field}")]
    Header {
        /// Where the header starts.
        offset: u64,
        /// The first field that differs.
        field: Field,
    },
    /// The header is well formed, the name is none of ours.
    #[error("header at byte {offset}")]
    Name {
        /// Where the header starts.
        offset: u64,
        /// The name.
        #[source]
        name: MemberName,
    },
    /// A member without content: nothing signed is empty.
    #[error("header at byte {offset}: the member is empty")]
    Empty {
        /// Where the header starts.
        offset: u64,
    },
    /// The bytes that fill up a member's last block are not zero.
    #[error("byte {offset}: padding is not zero")]
    Padding {
        /// The first such byte, or the block's start.
        offset: u64,
    },
    /// One zero block, then something else.
    #[error("byte {offset}: the archive ends with two zero blocks, found one")]
    EndMark {
        /// Where the second should be.
        offset: u64,
    },
    /// The input ended first.
    #[error("the file ends at byte {offset}, inside {inside}")]
    Truncated {
        /// How many bytes there were.
        offset: u64,
        /// What was being read.
        inside: &'static str,
    },
    /// Bytes after the end mark.
    #[error("the bundle ends at byte {offset}, but the file goes on")]
    Trailing {
        /// Where the bundle ends.
        offset: u64,
    },
}

/// A field of a header, and what it holds that a bundle's headers never hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing of an archive's header: another kind of file.
    Foreign,
    /// The name is not plain text, not zero-filled, or fills all of a longer name.
    Name,
    /// The member is no regular file; the type flag as found.
    Type(u8),
    /// The length is not eleven octal digits and a zero byte (base-256, spaces, signs).
    Length,
    /// The header checksum does not match, or is spelt otherwise than six octal digits, a zero byte and a space.
    Checksum,
    /// Another field is not what every bundle has there; its name.
    Fixed(&'static str),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("no archive starts like this: the file is something else"),
            Self::Name => f.write_str("the name is not plain zero-filled text"),
            Self::Type(flag) => {
                let meaning = match flag {
                    0 => "an old-style file",
                    b'1' => "a hard link",
                    b'2' => "a symbolic link",
                    b'3' => "a character device",
                    b'4' => "a block device",
                    b'5' => "a folder",
                    b'6' => "a fifo",
                    b'7' => "a contiguous file",
                    b'x' | b'g' => "a pax extension",
                    b'L' | b'K' => "a GNU long name",
                    b'S' => "a GNU sparse file",
                    _ => "of an unknown type",
                };
                write!(f, "the member is {meaning} (type {flag:#04x}), only regular files stand in a bundle")
            }
            Self::Length => f.write_str("the length is not eleven octal digits and a zero byte"),
            Self::Checksum => f.write_str("the header checksum is wrong or oddly spelt"),
            Self::Fixed(name) => write!(f, "the field {name} is not what every bundle has there"),
        }
    }
}

impl Explain for ArchiveError {
    fn code(&self) -> Code {
        match self {
            Self::Truncated { .. } => Code::ArchiveTruncated,
            Self::Trailing { .. } => Code::ArchiveTrailing,
            Self::Header { .. }
            | Self::Name { .. }
            | Self::Empty { .. }
            | Self::Padding { .. }
            | Self::EndMark { .. } => Code::ArchiveMalformed,
        }
    }
}
