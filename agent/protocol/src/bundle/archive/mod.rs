//! The archive: a strict subset of ustar, read and written without I/O.
//!
//! Every byte of a header but the member's name and length is fixed, so that there is one spelling of every archive
//! and nothing for a lenient reader to disagree about. `tar tf` lists it.
//!
//! # Source
//! POSIX.1-2017, `pax`, "ustar Interchange Format"; `docs/format.md` restates the subset.

mod error;
mod header;
mod member;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{ArchiveError, Field};
pub use header::BLOCK;
pub use member::{Member, MemberKind, MemberName};
pub use reader::{Event, Reader};
pub use writer::{Writer, WriterError};
