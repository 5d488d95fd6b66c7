//! How one owner's configuration moves from generation to generation.
//!
//! ```text
//!            Offered            Staged             Switched
//! Idle ────────────▶ Staging ───────────▶ Switching ─────────▶ Committed ──┐ Offered
//!   ▲                   │ Failed             │ Failed            │         ▼
//!   └── before ◀────────┴───── Restoring ◀───┘              Left │      Staging …
//!                                                                ▼
//!                                          Removed ◀──────── Removing
//! ```
//!
//! One machine an owner: a failing owner returns alone. The rule the caller keeps: **journal the state [`step()`]
//! returns, then perform its effects, then feed back the event that says how they ended.** A state names the work
//! under way, so after a crash [`State::pending`] gives the effects again; each effect is idempotent, so doing it
//! twice is doing it once.
//!
//! Probation (waiting for consumers between the switch and the commitment) will stand between `Switching` and
//! `Committed` and share `Restoring`; until it exists manifests that ask for it are refused before they get here.

mod effect;
mod event;
mod plan;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use effect::{Effect, Settlement};
pub use event::{Event, Offer};
pub use plan::{PlanError, plan};
pub use state::{Generation, State};
pub use step::{Step, StepError, step};
