//! What the boundary's machine asks for.

use std::collections::BTreeSet;

use casemate_protocol::boundary::Policy;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;

/// Work to do, or something final to tell. Each is idempotent: done twice is done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have [`super::State::in_force`] enforced: write what the enforcer and the next process read, and start this
    /// process anew if it was started for another policy. No answer.
    Enforce,
    /// Connect to these peers through the door, again and again with pauses, once the process runs under the policy in
    /// force. Answer: `Reached`, each; silence is an answer too.
    Reach(BTreeSet<Name>),
    /// The boundary's part of a bundle is final: goes into the receipt. Journalled together with the state.
    Settle(Box<Settlement>),
}

/// How the boundary's part of a bundle ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Name of the boundary it is about.
    pub name: Option<Name>,
    /// Version of it.
    pub version: Option<u64>,
    /// `applied`, `already-applied`, `superseded`, `boundary-unreached`, or `failed-before`.
    pub code: Code,
    /// In force before.
    pub before: Policy,
    /// In force after.
    pub after: Policy,
}
