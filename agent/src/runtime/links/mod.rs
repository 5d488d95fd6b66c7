//! The transports of one process: started for whom the policy in force names, fed with what they connect with, and
//! answered.
//!
//! ```text
//!  policy in force ──▶ one transport a peer, the listener ──▶ orders ──▶ imports, store thread, outbox
//!  assignment ──▶ credentials ──▶ (watched)                     ▲
//!  journal ──▶ news ──▶ (watched) ──────────────────────────────┘
//! ```
//!
//! They run in the daemon alone: a command that hosts the loop for moments talks to nobody.

mod contacts;
mod credentials;
mod orders;
mod round_trip;
mod tending;

pub(super) use contacts::Contacts;
pub(super) use round_trip::Expectations;
pub(super) use tending::{Ties, tend};
