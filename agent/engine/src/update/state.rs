//! Where an owner stands.

use std::collections::BTreeSet;

use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::GenerationRef;
use serde::{Deserialize, Serialize};

use super::effect::Effect;
use crate::time::Moment;

/// One owner's numbered, immutable tree, named by number and content.
pub type Generation = GenerationRef;

/// Content that failed its trial: not tried again until it is signed anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Version of the owner's role it came from.
    pub version: u64,
    /// SHA-256 of its manifest.
    pub manifest: Digest,
    /// What failed.
    pub code: Code,
    /// The consumer that failed, or the first that was silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Name>,
    /// The consumer's own word for why. Stays on the appliance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Name>,
}

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
        /// What was tried last, if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<Failed>,
    },
    /// `next` is being built beside what is current.
    Staging {
        /// What is current.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// What is being built.
        next: Generation,
        /// On what conditions.
        #[serde(default, skip_serializing_if = "Terms::is_plain")]
        terms: Terms,
    },
    /// `next` is whole on disk and its maintenance window is not open.
    Waiting {
        /// What is current.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// What becomes current in the window.
        next: Generation,
        /// On what conditions.
        terms: Terms,
        /// Since when.
        since: Moment,
    },
    /// `next` is whole on disk and `current` is being pointed at it.
    Switching {
        /// What was current; whole on disk until the switch is known to have happened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// What becomes current.
        next: Generation,
        /// On what conditions.
        #[serde(default, skip_serializing_if = "Terms::is_plain")]
        terms: Terms,
    },
    /// `next` is current and on trial.
    Probation {
        /// What becomes current again if the trial fails; whole on disk.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// What is on trial.
        next: Generation,
        /// On what conditions.
        terms: Terms,
        /// Since when in this run of the machine; the deadline counts from here.
        since: Moment,
        /// Runs of the machine it has been on trial in, this one included.
        boots: u32,
        /// Consumers that have reported ready in this run.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        ready: BTreeSet<Name>,
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
        /// Set if the content itself failed: remembered when `before` is back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<Failed>,
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
        /// What was tried since, if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<Failed>,
    },
    /// The owner left the assignment and its tree is being taken away.
    Removing {
        /// What was current.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Generation>,
        /// Highest number given out.
        last: u64,
        /// What was tried last, if it failed: leaving does not make it good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<Failed>,
    },
    /// The owner left; nothing of it is current. Kept so that its numbers are not reused should it return.
    Removed {
        /// Highest number given out.
        last: u64,
        /// What was tried last, if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<Failed>,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Idle { last: 0, failed: None }
    }
}

impl State {
    /// The generation that is certainly current: none while `current` is being moved.
    #[must_use]
    pub fn current(&self) -> Option<&Generation> {
        match self {
            Self::Staging { before, .. } | Self::Waiting { before, .. } => before.as_ref(),
            Self::Committed { current, .. } | Self::Probation { next: current, .. } => Some(current),
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
            Self::Waiting { before, next, .. }
            | Self::Switching { before, next, .. }
            | Self::Probation { before, next, .. } => (before.as_ref(), Some(next)),
            Self::Committed { current, previous, .. } => (Some(current), previous.as_ref()),
        };
        first.into_iter().chain(second)
    }

    /// The highest generation number given out.
    #[must_use]
    pub fn last(&self) -> u64 {
        match self {
            Self::Staging { next, .. }
            | Self::Waiting { next, .. }
            | Self::Switching { next, .. }
            | Self::Probation { next, .. } => next.number,
            Self::Restoring { abandoned, .. } => abandoned.number,
            Self::Idle { last, .. }
            | Self::Committed { last, .. }
            | Self::Removing { last, .. }
            | Self::Removed { last, .. } => *last,
        }
    }

    /// Nothing is under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Idle { .. } | Self::Committed { .. } | Self::Removed { .. })
    }

    /// What failed its trial last, if nothing newer was brought since. One is enough: while newer content is under way
    /// it is forgotten, and floors keep the older version from coming back.
    #[must_use]
    pub fn failed(&self) -> Option<&Failed> {
        match self {
            Self::Idle { failed, .. }
            | Self::Committed { failed, .. }
            | Self::Removing { failed, .. }
            | Self::Removed { failed, .. } => failed.as_ref(),
            _ => None,
        }
    }

    /// Waits for something that is not of this process: the window, a consumer, a probe. Such a wait outlives it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Probation { .. })
    }

    /// Consumers whose report is still waited for.
    #[must_use]
    pub fn awaited(&self) -> Vec<&Name> {
        match self {
            Self::Probation { terms, ready, .. } => terms.awaited.difference(ready).collect(),
            _ => Vec::new(),
        }
    }

    /// The generation whose probes decide now, and how long they must hold, in seconds: every consumer is ready.
    #[must_use]
    pub fn probing(&self) -> Option<(&Generation, u64)> {
        match self {
            Self::Probation { next, terms, .. } if self.awaited().is_empty() => Some((next, terms.hold_seconds?)),
            _ => None,
        }
    }

    /// The effect under way: what recovery does again after a crash.
    #[must_use]
    pub fn pending(&self) -> Option<Effect> {
        match self {
            Self::Idle { .. }
            | Self::Committed { .. }
            | Self::Removed { .. }
            | Self::Waiting { .. }
            | Self::Probation { .. } => None,
            Self::Staging { next, .. } => Some(Effect::Stage(next.clone())),
            Self::Switching { next, .. } => Some(Effect::Switch(next.clone())),
            Self::Restoring { before, .. } => Some(Effect::Restore(before.clone())),
            Self::Removing { .. } => Some(Effect::Remove),
        }
    }
}
