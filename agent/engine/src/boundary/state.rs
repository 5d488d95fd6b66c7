//! Where the boundary stands.

use std::borrow::Cow;
use std::collections::BTreeSet;

use casemate_protocol::boundary::Policy;
use casemate_protocol::device::id::Name;
use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::event::Offer;
use crate::time::Moment;

/// Where the boundary stands. Every variant carries what that situation needs and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum State {
    /// No bundle said anything yet: nothing is allowed.
    #[default]
    Closed,
    /// What is signed is in force.
    Settled {
        /// What is signed.
        signed: Offer,
    },
    /// What is signed is in force, and its required peers are still to be reached.
    Trial {
        /// What is signed.
        signed: Offer,
        /// What held before: the last that was not on trial.
        before: Policy,
        /// When it began, or when the machine was started last.
        since: Moment,
        /// Runs of the machine, this one included.
        boots: u32,
        /// Required peers that were reached.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        reached: BTreeSet<Name>,
    },
    /// A required peer was not reached: what the boundary on trial shares with the one before is in force.
    FellBack {
        /// What is signed.
        signed: Offer,
        /// What is in force of it.
        force: Policy,
    },
}

impl State {
    /// What is signed, if anything is.
    #[must_use]
    pub fn signed(&self) -> Option<&Offer> {
        match self {
            Self::Closed => None,
            Self::Settled { signed } | Self::Trial { signed, .. } | Self::FellBack { signed, .. } => Some(signed),
        }
    }

    /// What is in force, before the site's own narrowing; never wider than what is signed.
    #[must_use]
    pub fn in_force(&self) -> Cow<'_, Policy> {
        match self {
            Self::Closed => Cow::Owned(Policy::default()),
            Self::Settled { signed } | Self::Trial { signed, .. } => Cow::Borrowed(&signed.policy),
            Self::FellBack { force, .. } => Cow::Borrowed(force),
        }
    }

    /// What was proven: a boundary within it is in force at once, and a trial that fails leaves what it has of it.
    #[must_use]
    pub fn holds(&self) -> Cow<'_, Policy> {
        match self {
            Self::Trial { before, .. } => Cow::Borrowed(before),
            settled => settled.in_force(),
        }
    }

    /// Whether required peers are still to be reached.
    #[must_use]
    pub fn is_on_trial(&self) -> bool {
        matches!(self, Self::Trial { .. })
    }

    /// The required peers still to be reached.
    #[must_use]
    pub fn awaited(&self) -> BTreeSet<Name> {
        match self {
            Self::Trial { signed, reached, .. } => signed.required.difference(reached).cloned().collect(),
            _ => BTreeSet::new(),
        }
    }

    /// The work of this state: for the start of the process, after [`super::Event::Tick`].
    #[must_use]
    pub fn pending(&self) -> Vec<Effect> {
        let mut effects = vec![Effect::Enforce];
        let awaited = self.awaited();
        if !awaited.is_empty() {
            effects.push(Effect::Reach(awaited));
        }
        effects
    }
}
