//! The one loop that owns the state: calls in, effects out.
//!
//! ```text
//! commands ──┐                        ┌─▶ store thread (keeper): journal, copy, objects, generations, receipts
//! sockets ───┼─▶ loop (agent) ────────┤        ▲ ticks, held probes   │ what to watch, what changed
//! stick ─────┘   one import at a time │      vigil ◀─────────────────┴─▶ followers (hub), waiting imports
//!                                     └─▶ sandboxed reader, one child a bundle
//! ```
//!
//! The loop never blocks: whatever touches the disk for long happens on the store thread or in the child, and comes
//! back as an answer. A daemon hosts the loop until it is told to stop, a command hosts it until its own call is
//! answered; nothing else differs.

mod agent;
mod boundary;
mod composed;
mod consumers;
mod daemon;
mod duties;
mod enrol;
mod error;
mod host;
mod import;
mod keeper;
mod ledger;
mod links;
mod news;
mod preview;
mod queue;
mod reach;
mod receipts;
mod reports;
mod room;
mod settle;
mod standing;
mod stick_watch;
mod store_thread;
mod turn;
mod vigil;
mod watchdog;

pub use agent::Agent;
pub use daemon::daemon;
pub use error::RuntimeError;
pub use host::{Look, TELL_EVERY, host, waits};
pub use keeper::PROBE_ARGUMENT;
pub use turn::Ended;
