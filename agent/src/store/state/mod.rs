//! The second copy: what must never fall back, kept apart from the journal, in sled.
//!
//! It follows the journal and is read for one question only: does it remember more than the journal does? Then records
//! were lost, and its floors hold.
//!
//! sled may panic, hang or silently drop keys on a folder with a flipped bit (and a panic ends a release build). So a
//! sled folder is only opened here when its files are byte for byte what this program left: at a clean stop their
//! digest goes into the journal. Anything else is read out by a child process ([`probe()`]) and then set aside; a new
//! copy is filled from the journal's state. So nothing rotten is ever written to, and rot in this folder costs nothing.
//!
//! sled is opened late, after the first commit was acknowledged: commands that only read never start its threads.
//!
//! # Durability
//! sled's own flush leaves file sizes and its `conf` to the kernel. After each flush the log is fsync'd here; `conf` and
//! the folder once, when the copy is made. One flush a milestone (enrolment, accepted root, finished bundle), none for
//! the steps between: the journal has them.

mod content;
mod probe;
mod second_copy;

pub use probe::probe;
pub(crate) use probe::read_out;
pub(crate) use second_copy::{SecondCopy, digest, set_aside};
