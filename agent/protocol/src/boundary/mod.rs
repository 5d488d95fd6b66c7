//! The boundary: the signed list of what may be exchanged with whom.
//!
//! | document | who signs it | what it may say |
//! |---|---|---|
//! | [`Envelope`], target `boundary/envelope.json` | its digest stands in root | networks, pins and jurisdiction beyond which no boundary goes |
//! | [`Boundary`], target `boundary/<name>.json` | role `boundary`: two persons with keys of targets | peers, flows and link traffic, inside the envelope |
//! | [`TenantFlows`], target `tenants/<id>/boundary.json` | the tenant | less than the flows the boundary gives this tenant |
//! | [`Narrowing`] | nobody | less, of anything |
//!
//! A [`Policy`] is what is in force after all of them: empty by default, and every step from the first row to the last
//! takes away or leaves as it is. Nothing here opens a socket.

mod change;
mod document;
mod envelope;
mod error;
mod flow;
mod force;
mod link;
mod listen;
mod network;
pub mod offer;
mod peer;
mod policy;

pub use change::{Change, Edit};
pub use document::{Boundary, FORMAT, MAX_DOCUMENT, Narrowing, TenantFlows};
pub use envelope::Envelope;
pub use error::BoundaryError;
pub use flow::{Direction, Flow, FlowProtocol, Ports};
pub use force::in_force;
pub use link::Link;
pub use listen::Listen;
pub use network::Network;
pub use peer::{Peer, PeerProtocol, Pins, Purpose};
pub(crate) use policy::MAX_FLOWS;
pub use policy::Policy;

#[cfg(test)]
mod tests;
