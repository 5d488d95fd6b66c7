//! The journal: audit log and write-ahead log at once.
//!
//! A segment is a file of [`segment::SEGMENT_LEN`] bytes, written full of zeros before its first use, so that a commit
//! is one `O_DSYNC` write that changes no file size and no block map. One commit is one [frame]: whole or not there.
//! Because a frame is written only when the one before it is durable, an invalid frame with nothing valid behind it is
//! the torn end of an unacknowledged write, and one with something valid behind it is damage.
//!
//! ```text
//! segment = header (64) frame* zeros
//! header  = "CASEMATE JOURNAL" (16) format (4) crc32c (4) sequence of the first entry (8) tree head before it (32)
//! ```
//!
//! [frame]: casemate_protocol::evidence::frame

mod checkpoint;
mod log;
mod replay;
mod segment;

pub(crate) use log::{Journal, Opened};
pub use replay::Damage;
