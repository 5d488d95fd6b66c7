//! Where an owner stands.

use casemate_protocol::code::Code;
use casemate_protocol::evidence::receipt::GenerationRef;
use serde::{Deserialize, Serialize};

use super::effect::Effect;

/// One owner's numbered, immutable tree, named by number and content.
pub type Generation = GenerationRef;

/// Where one owner stands. Every variant carries what that situation needs and no more.
///
/// `last` is the highest generation number ever given out: numbers are not reused, so a number in an old receipt
/// never means two things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum State {
    /// Nothing is current.
    Idle {
        /// Highest number given out.
        last: u64,
    },
    /// `next` is being built beside what is current.
    Staging {
        /// What is current.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// What is being built.
        next: Generation,
    },
    /// `next` is whole on disk and `current` is being pointed at it.
    Switching {
        /// What was current; whole on disk until the switch is known to have happened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// What becomes current.
        next: Generation,
    },
    /// `current` is being pointed back at `before`.
    Restoring {
        /// What becomes current again; nothing, if nothing was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// What failed.
        abandoned: Generation,
        /// Why.
        code: Code,
    },
    /// `current` is this generation.
    Committed {
        /// What is current.
        current: Generation,
        /// The generation before it, kept on disk: the only one a return may lead to (R17).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Generation>,
        /// Highest number given out.
        last: u64,
    },
    /// The owner left the assignment and its tree is being taken away.
    Removing {
        /// What was current.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// Highest number given out.
        last: u64,
    },
    /// The owner left; nothing of it is current. Kept so that its numbers are not reused should it return.
    Removed {
        /// Highest number given out.
        last: u64,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Idle { last: 0 }
    }
}

impl State {
    /// The generation that is certainly current: none while `current` is being moved.
    #[must_use]
    pub fn current(&self) -> Option<&Generation> {
        match self {
            Self::Staging { before, .. } => before.as_ref(),
            Self::Committed { current, .. } => Some(current),
            Self::Idle { .. }
            | Self::Switching { .. }
            | Self::Restoring { .. }
            | Self::Removing { .. }
            | Self::Removed { .. } => None,
        }
    }

    /// Every generation that must be whole on disk in this state.
    pub fn kept(&self) -> impl Iterator<Item = &Generation> {
        let (first, second) = match self {
            Self::Idle { .. } | Self::Removed { .. } | Self::Removing { .. } => (None, None),
            Self::Staging { before, .. } | Self::Restoring { before, .. } => (before.as_ref(), None),
            Self::Switching { before, next } => (before.as_ref(), Some(next)),
            Self::Committed { current, previous, .. } => (Some(current), previous.as_ref()),
        };
        first.into_iter().chain(second)
    }

    /// The highest generation number given out.
    #[must_use]
    pub fn last(&self) -> u64 {
        match self {
            Self::Staging { next, .. } | Self::Switching { next, .. } => next.number,
            Self::Restoring { abandoned, .. } => abandoned.number,
            Self::Idle { last }
            | Self::Committed { last, .. }
            | Self::Removing { last, .. }
            | Self::Removed { last } => *last,
        }
    }

    /// Nothing is under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Idle { .. } | Self::Committed { .. } | Self::Removed { .. })
    }

    /// The effect under way: what recovery does again after a crash.
    #[must_use]
    pub fn pending(&self) -> Option<Effect> {
        match self {
            Self::Idle { .. } | Self::Committed { .. } | Self::Removed { .. } => None,
            Self::Staging { next, .. } => Some(Effect::Stage(next.clone())),
            Self::Switching { next, .. } => Some(Effect::Switch(next.clone())),
            Self::Restoring { before, .. } => Some(Effect::Restore(before.clone())),
            Self::Removing { .. } => Some(Effect::Remove),
        }
    }
}
