//! The boundary, as the one owner of the state sees to it.
//!
//! ```text
//! verdict ──▶ change: one more record of the acceptance ──▶ journal ──▶ handover: offer, narrowing, force; the door
//! trial: peers reached, time passed ──▶ change ──────────────▲             │ not what this process was started for
//!                                                                          ▼
//!                                                                 start anew (exit code 75)
//! ```

mod change;
mod handover;
mod report;

pub(super) use handover::{Handed, narrowing};
