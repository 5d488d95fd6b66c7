//! TLS 1.3, both ways: who answers at a peer's address, and who may come in.
//!
//! Outwards the boundary says by its key who a peer is; names, chains and dates do not count, so that no expired
//! certificate strands an appliance. Inwards a certificate has to come from a signed authority, be within its dates and
//! not be revoked, and name somebody of this jurisdiction. Nothing here follows an address that stands in a certificate.

mod acceptor;
mod admission;
mod client;
mod credentials;
mod error;
mod lists;
mod pinned;
mod revocation;
mod signed_time;

pub use acceptor::{Acceptor, Rejected};
pub use admission::{Admitted, NotAdmitted};
pub use client::connect;
pub use credentials::Credentials;
pub use error::TlsError;
pub use lists::{settings_in_force, to_remember};
pub use pinned::NotThePeer;
pub use signed_time::SignedTime;
