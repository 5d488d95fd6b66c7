//! TUF 1.0: metadata and the sans-IO client.
//!
//! # Source
//! The Update Framework specification 1.0.34. Repositories are plain TUF; what Casemate adds stands under
//! `x-casemate` and other clients ignore it.

pub mod client;
pub mod file_name;
pub mod floors;
pub mod hashes;
pub mod pattern;
pub mod profile;
pub mod role;
pub mod root;
pub mod snapshot;
pub mod targets;
pub mod time;
pub mod timestamp;
