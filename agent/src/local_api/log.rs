//! Every change in the log as well, under the names it has on the wire.

use tracing::field::display;

use super::answer::Outcome;
use super::event::{BoundaryEvent, ConsumerEvent, EventKind, GenerationEvent, ReceiptEvent};

/// Logs a change; what did not go well as a warning.
pub(super) fn note(sequence: u64, kind: &EventKind) {
    match kind {
        EventKind::Generation(GenerationEvent { owner, state, generation, code }) => {
            let state = state.name();
            if let Some(code) = code {
                tracing::warn!(sequence, %owner, generation, state, %code, "a generation moved");
            } else {
                tracing::info!(sequence, %owner, generation, state, "a generation moved");
            }
        }
        EventKind::Consumer(ConsumerEvent { owner, generation, consumer, outcome: Outcome::Ready, .. }) => {
            tracing::info!(sequence, %owner, generation, %consumer, outcome = "ready", "a consumer reported");
        }
        EventKind::Consumer(ConsumerEvent { owner, generation, consumer, outcome: Outcome::Failed, reason }) => {
            let reason = reason.as_ref().map(display);
            tracing::warn!(sequence, %owner, generation, %consumer, outcome = "failed", reason, "a consumer reported");
        }
        EventKind::Receipt(ReceiptEvent { receipt, code }) => {
            tracing::info!(sequence, receipt, %code, "a receipt was written");
        }
        EventKind::Boundary(BoundaryEvent { code, policy }) => {
            tracing::info!(sequence, %code, digest = %policy, "the boundary changed");
        }
        EventKind::Reset => {}
    }
}
