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
//! the same step. The picture leaves out what the table has; a test holds the table to be exactly what the code does:
//!
//! | from | event | to | when |
//! |---|---|---|---|
//! | Idle, Removed, Committed | Offered | Staging | the content is new |
//! | Committed | Offered | Committed | it is current already, or failed its trial before |
//! | Idle | Offered | Idle | it failed its trial before |
//! | Removed | Offered | Removed | it failed its trial before |
//! | Staging, Waiting, Switching, Probation, Restoring, Removing | Offered | refused | something is under way |
//! | Staging, Waiting, Switching, Probation, Restoring, Removing | Left | refused | something is under way |
//! | Committed | Left | Removing | always |
//! | Staging | Staged | Waiting | there is a window and it is not open |
//! | Staging | Staged | Switching | there is none, or it is open |
//! | Staging | Failed | Committed, Idle | `before` is current, as it was all the time |
//! | Waiting | Tick | Switching | the window opened; by uptime, if the clock is not believed |
//! | Waiting | Superseded | Committed, Idle | `before` is current, as it was all the time |
//! | Switching | Switched | Committed | nothing has to be confirmed |
//! | Switching | Switched | Probation | something has |
//! | Switching | Failed | Restoring | the switch may have happened or not |
//! | Probation | Tick | Probation | after a restart of the machine: everybody is asked anew |
//! | Probation | Tick | Restoring | the deadline has passed, or the machine was started too often |
//! | Probation | Reported | Probation | ready, and more is waited for |
//! | Probation | Reported | Committed | the last one is ready and there are no probes |
//! | Probation | Reported | Restoring | failed; or ready, but too late |
//! | Probation | Held | Committed | everybody is ready |
//! | Probation | Held | Probation | of an earlier run of the machine: does not count |
//! | Probation | Held | Restoring | too late |
//! | Probation | Superseded | Restoring | always |
//! | Restoring | Restored | Committed, Idle | `before` is current again |
//! | Removing | Removed | Removed | always |
//!
//! Every other event leaves the state as it is and asks for nothing: late, repeated, of another generation.
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
