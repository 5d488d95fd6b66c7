//! How one owner's configuration moves from generation to generation.
//!
//! ```text
//!          Offered         Staged            window opens        Switched, plain terms
//! Idle ────────────▶ Staging ─────▶ Waiting ──────────────▶ Switching ───────────────▶ Committed ──┐ Offered
//!   ▲                   │ Failed       │ Superseded     Failed │   │ Switched, gated     ▲   │     ▼
//!   │                   │              │                       │   ▼     ready and held │   │ Staging …
//!   │                   │              │                       │ Probation ─────────────┘   │ Left
//!   │                   │              │                       ▼   │ failed, silent, late,  ▼
//!   └───── before ◀─────┴──────────────┴─── Restored ◀── Restoring ┘ superseded         Removing ─▶ Removed
//! ```
//!
//! `before` stands for where the owner was: `Idle` or `Committed`. A generation without a window passes `Waiting` in
//! the same step.
//!
//! One machine an owner: a failing owner returns alone. The rule the caller keeps: **journal the state [`step()`]
//! returns, then perform its effects, then feed back the event that says how they ended.** A state names the work
//! under way, so after a crash [`State::pending`] gives the effects again; each effect is idempotent, so doing it
//! twice is doing it once. `Waiting` and `Probation` wait for something outside the process: [`due_in_seconds`] says
//! when to send [`Event::Tick`], and every start of the process sends one.

mod effect;
mod event;
mod plan;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod trial;

pub use effect::{Effect, Settlement};
pub use event::{Event, Offer, Report};
pub use plan::{PlanError, plan};
pub use state::{Failed, Generation, State};
pub use step::{Step, StepError, step};
pub use trial::{MAX_BOOTS, due_in_seconds};
