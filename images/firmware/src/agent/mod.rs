//! The agent's local API, as a consumer sees it.

mod connection;
mod error;
mod events;
mod tree;

pub use connection::Agent;
pub use error::AgentError;
pub use events::{Event, Events};
pub use tree::{Outcome, OwnerTree, Report, Tree, TreeFile};
