//! How the boundary in force moves.
//!
//! ```text
//!                    within what holds, or nothing required
//!          ┌──────────────────────────────────────────────────────┐
//!          │                                                      ▼
//! Closed, Settled, ── Signed, wider, with required peers ──▶ Trial ── every one Reached ──▶ Settled
//! FellBack                                                     │ ▲
//!                                                              │ └── Signed: a newer one, still wider
//!                                                              └── late, or started too often ──▶ FellBack
//! ```
//!
//! *What holds* is what was proven: during a trial the policy before it, not the one on trial. [`State::in_force`] is
//! never wider than what is signed: what is signed, or, once a trial failed, what it shares with what held before. So
//! narrowing holds at once and never rolls back. Every other event leaves the state as it is.
//!
//! The rule the caller keeps: **journal the state [`step()`] returns together with its changes and settlements, then
//! perform its effects, then feed back what came of them.** [`State::pending`] gives the work again after a crash; each
//! effect is idempotent. Time is the machine's own: no setting of a clock shortens or lengthens a trial, and after
//! [`MAX_BOOTS`] runs of the machine it ends.
//!
//! Policies here are before the site's own narrowing, which the caller applies where it computes what is in force
//! ([`casemate_protocol::boundary::in_force`]).

mod decision;
mod effect;
mod event;
mod state;

pub use decision::{MAX_BOOTS, Step, TRIAL_SECONDS, due_in_seconds, step};
pub use effect::{Effect, Settlement};
pub use event::{Event, Offer};
pub use state::State;

#[cfg(test)]
mod tests;
