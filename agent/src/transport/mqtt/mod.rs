//! Bundles, receipts and health by an MQTT 5 broker that the boundary names.
//!
//! ```text
//!            bytes, time ─▶ session ─▶ events ─▶ client ─▶ wants ─▶ the loop that owns the state
//!  link ◀──▶ bytes       ◀─ session ◀─ messages ─┘ │
//!  (I/O)                                offers transfer spool │ desk
//!                                       (bundles in)          │ (presence, health, answers, receipts out)
//! ```
//!
//! `session` is one connection without I/O; `client` is what is wanted of whichever connection there is; `link` connects,
//! reads, writes and waits. rumqttc gives the packets' codec and nothing else: its event loop resolves names.

mod client;
mod desk;
mod fault;
mod link;
mod offers;
mod pace;
mod session;
mod spool;
mod transfer;
mod wire;

#[cfg(test)]
mod tests;

pub use link::run;
