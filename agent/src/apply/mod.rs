//! Generations on plain folders.
//!
//! ```text
//! generations/groups/clinics/7/…      immutable, hard links to objects, read-only
//! current/groups/clinics → ../../generations/groups/clinics/7
//! ```
//!
//! `current/<tree>` is a symbolic link replaced by one rename: a reader sees the old generation or the new one,
//! whole. Everything here is idempotent, so that recovery may do again what a crash left undone.

mod drive;
mod error;
mod restore;
mod stage;
mod switch;
#[cfg(test)]
mod tests;
mod trees;

pub use drive::{Change, DriveError, Ledger, drive, recover, resume};
pub use error::ApplyError;
pub use trees::{TreeFile, Trees};
