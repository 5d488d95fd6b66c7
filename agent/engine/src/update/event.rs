//! What can happen to an owner.

use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use serde::{Deserialize, Serialize};

use super::state::Generation;

/// Verified content for one owner. Whoever makes one has a `Verdict`; nothing unverified gets here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Version of the owner's role.
    pub version: u64,
    /// SHA-256 of its manifest.
    pub manifest: Digest,
}

impl Offer {
    /// Whether `generation` is this content.
    #[must_use]
    pub fn is(&self, generation: &Generation) -> bool {
        (self.version, self.manifest) == (generation.version, generation.manifest)
    }
}

/// Something that happened. Events that report on an effect name what they report on, so that a late or repeated
/// report changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A verified bundle brings this content.
    Offered(Offer),
    /// The owner is no longer assigned to this appliance.
    Left,
    /// This generation is whole on disk.
    Staged {
        /// Its number.
        number: u64,
    },
    /// `current` points at this generation, durably.
    Switched {
        /// Its number.
        number: u64,
    },
    /// `current` points at what it did before, durably.
    Restored,
    /// The owner's tree is gone, durably.
    Removed,
    /// The effect under way for this generation could not be done.
    Failed {
        /// The generation's number.
        number: u64,
        /// Why.
        code: Code,
    },
}
