//! Intake: a bundle in, a verdict and staged objects out, and a hostile archive costs one child.
//!
//! ```text
//!            opened input (stdin)             frames (a socket pair as stdout)
//!  parent ──────────────────────▶ child ◀───────────────────────────────────▶ parent
//!    │  no path, no name            │  seccomp without sockets, no new privileges, resource limits,
//!    │                              │  not dumpable; Landlock: no file outside the staging folder
//!    │                              └─ writes objects, under their hashes only, into the staging folder (its cwd)
//!    └─ after reaping: appraises the metadata again, hashes every object up to 1 MiB again, checks the others' size
//! ```
//!
//! Everything here blocks: call it from a thread that may.

pub mod child;
mod error;
mod frame;
mod halt;
mod hashing;
mod input;
mod launcher;
mod order;
mod parent;
mod sandbox;
mod source;
mod staging;

pub use error::{IntakeError, Remains};
pub use halt::Halt;
pub use input::Input;
pub use launcher::{CHILD_ARGUMENT, Launcher};
pub use order::{Order, Progress, Survey};
pub use sandbox::{SandboxError, enter as confine, fence};
pub use staging::{Staged, keep_only, staged};
