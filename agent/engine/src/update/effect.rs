//! What an owner's machine asks for.

use casemate_protocol::code::Code;

use super::state::Generation;

/// Work to do on disk, or something final to tell. Each is idempotent: done twice is done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Build this generation beside what is current. Answer: `Staged` or `Failed`.
    Stage(Generation),
    /// Point `current` at this generation, which is whole. Answer: `Switched` or `Failed`.
    Switch(Generation),
    /// Point `current` at this generation again, or at nothing. Answer: `Restored`.
    Restore(Option<Generation>),
    /// Take the owner's `current` and all its generations away. Answer: `Removed`.
    Remove,
    /// Delete this generation: nothing leads back to it. No answer; what is forgotten by a crash is swept at start.
    Discard(Generation),
    /// The owner's part is final: goes into the receipt.
    Settle(Settlement),
}

/// How an owner's part of a bundle ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The outcome.
    pub code: Code,
    /// Current before.
    pub before: Option<Generation>,
    /// Current after.
    pub after: Option<Generation>,
}
