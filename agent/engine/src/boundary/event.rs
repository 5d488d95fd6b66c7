//! What happens to the boundary.

use std::collections::BTreeSet;

use casemate_protocol::boundary::Policy;
use casemate_protocol::device::id::Name;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A verified bundle says what the boundary is. Not sent where its boundary is refused.
    Signed(Box<Offer>),
    /// A required peer was reached through the door.
    Reached {
        /// Which.
        peer: Name,
    },
    /// Time passed, or the process was started: every start sends one.
    Tick,
}

/// A signed boundary, for this appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Its name; none where the assignment names none, so that nothing is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Version of role `boundary`; none as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What it allows, tenants' narrowing applied.
    pub policy: Policy,
    /// Peers that must be reached if this is wider than what holds.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub required: BTreeSet<Name>,
}

impl Offer {
    /// The offer of `policy`. A required peer that the site's own narrowing takes away cannot be reached, and is not
    /// waited for.
    #[must_use]
    pub fn new(name: Option<Name>, version: Option<u64>, policy: Policy, site: Option<&Policy>) -> Self {
        let policy = policy.normal();
        let left = site.map_or_else(|| policy.clone(), |site| policy.intersection(site));
        let required = left.peers.into_iter().filter(|peer| peer.required).map(|peer| peer.id).collect();
        Self { name, version, policy, required }
    }

    /// Whether it is the very same document, leaving the appliance the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.name, self.version, &self.policy) == (&other.name, other.version, &other.policy)
    }
}
