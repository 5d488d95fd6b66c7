//! The journal: audit log and write-ahead log at once.
//!
//! A segment is a file of [`segment::SEGMENT_LEN`] bytes, written full of zeros before its first use, so that a commit
//! is one `O_DSYNC` write that changes no file size and no block map. One commit is one [`frame`]: whole or not there.
//! Because a frame is written only when the one before it is durable, an invalid frame with nothing valid behind it is
//! the torn end of an unacknowledged write, and one with something valid behind it is damage.
//!
//! ```text
//! segment   = header (64) frame* zeros
//! frame     = magic (4) length (4) crc32c (4) count (4) record{count} padding to 16
//! record    = entry header (24) body digest (32) salt (16) body length (4) body
//! ```
//!
//! All numbers are little-endian. `length` covers the frame without padding, `crc32c` all of it but itself. The magic
//! holds a byte that no JSON text contains, so that a body can never pass for a frame.

mod checkpoint;
mod crc;
pub mod frame;
mod log;
mod replay;
mod segment;

pub(crate) use crc::crc32c;
pub(crate) use log::{Journal, Opened};
pub use replay::Damage;
