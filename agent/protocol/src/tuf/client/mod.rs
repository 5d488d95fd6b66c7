//! The TUF client, sans-IO: it says what it wants, is handed bytes, and states what it accepted.
//!
//! ```text
//! let mut client = Client::new(stored, Rules::Casemate, clock)?;
//! loop {
//!     match client.want() {
//!         Want::Nothing => break,
//!         Want::Metadata { path, max_length, .. } => match fetch(path, max_length) {
//!             Ok(raw) => client.got(&raw)?,
//!             Err(NotFound) => client.absent()?,       // only a definite "there is no such file"
//!             Err(other) => return Err(other),         // a transport error is never "absent"
//!         },
//!     }
//! }
//! match client.lookup("groups/clinics/manifest.json") { Lookup::Wants => /* the loop again */, … }
//! ```
//!
//! The shell chooses when to persist: [`Client::roots`] and [`Client::floors`] are valid after every step.
//!
//! # Source
//! TUF 1.0.34 §5.3 to §5.7. Where the text leaves a choice: floors replace the stored metadata as what a new version
//! is measured against, and one version is one content.

mod accepted;
mod chain;
mod delegation;
mod error;
mod machine;
mod search;
mod snapshot;
mod targets;
#[cfg(test)]
mod tests;
mod timestamp;
mod want;

pub use error::TufError;
pub use machine::Client;
pub use want::{Lookup, Optional, Rules, Stored, Want};

/// Longest root read, bytes (python-tuf's limit).
pub const MAX_ROOT: u64 = 512_000;
/// Longest timestamp read, bytes (python-tuf's limit).
pub const MAX_TIMESTAMP: u64 = 16_384;
/// Longest snapshot read, bytes: about 40,000 roles.
pub const MAX_SNAPSHOT: u64 = 4 * 1024 * 1024;
/// Longest targets metadata read, bytes: about 40,000 targets.
pub const MAX_TARGETS: u64 = 8 * 1024 * 1024;
/// Roots accepted in one run (R15).
pub const MAX_ROOTS: usize = 1024;
/// Roles one search passes through (python-tuf's limit).
pub const MAX_SEARCH: usize = 32;
