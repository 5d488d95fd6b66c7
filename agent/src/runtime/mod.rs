//! The one loop that owns the state: calls in, effects out.
//!
//! ```text
//! commands ──┐                        ┌─▶ store thread (keeper): journal, copy, objects, generations, receipts
//! socket ────┼─▶ loop (agent) ────────┤
//! stick ─────┘   one import at a time └─▶ sandboxed reader, one child a bundle
//! ```
//!
//! The loop never blocks: whatever touches the disk for long happens on the store thread or in the child, and comes
//! back as an answer. A daemon hosts the loop until it is told to stop, a command hosts it until its own call is
//! answered; nothing else differs.

mod agent;
mod daemon;
mod enrol;
mod error;
mod import;
mod keeper;
mod ledger;
mod receipts;
mod reports;
mod settle;
mod store_thread;
mod watchdog;

pub use agent::Agent;
pub use daemon::daemon;
pub use error::RuntimeError;
pub use keeper::PROBE_ARGUMENT;
