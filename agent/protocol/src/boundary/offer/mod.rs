//! The offer: what the agent hands to the host's enforcer, which believes nothing the agent says.
//!
//! A small archive in the bundle's own format, read by the bundle's own judge: the roots after the first, timestamp,
//! snapshot, targets, the roles that list assignments, the appliance's assignment, role `boundary`, the envelope and
//! the boundary. So a compromised agent can keep back a boundary, and cannot make one: rollback, fast-forward, expiry,
//! envelope and the two persons all hold as they do for bundles. What tenants leave of their flows is not in it: that
//! reaches the enforcer as a [`super::Narrowing`], which only takes away.
//!
//! No I/O: the enforcer opens, caps and copies the file before [`judge()`] sees it.

mod accepted;
mod anchor;
mod error;
mod judge;
mod writer;

pub use accepted::Accepted;
pub use anchor::Anchor;
pub use error::OfferError;
pub use judge::judge;
pub use writer::{Contents, write};

/// Longest offer written or read, bytes.
pub const MAX_OFFER: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests;
