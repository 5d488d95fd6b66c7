//! What can happen to an owner.

use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;

use super::state::{Failed, Generation};

/// Verified content for one owner. Whoever makes one has a `Verdict`; nothing unverified gets here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Version of the owner's role.
    pub version: u64,
    /// SHA-256 of its manifest.
    pub manifest: Digest,
    /// When it may be switched to and what has to confirm it.
    pub terms: Terms,
}

impl Offer {
    /// Whether `generation` is this content.
    #[must_use]
    pub fn is(&self, generation: &Generation) -> bool {
        (self.version, self.manifest) == (generation.version, generation.manifest)
    }

    /// Whether `failed` is this content, not signed anew since.
    #[must_use]
    pub fn is_known_to_fail(&self, failed: &Failed) -> bool {
        self.manifest == failed.manifest && self.version <= failed.version
    }
}

/// What a consumer says of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It works with it.
    Ready,
    /// It does not.
    Failed {
        /// Its own word for why.
        reason: Option<Name>,
    },
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
    /// Time has passed, or the process was started anew: what is due now is due.
    Tick,
    /// A consumer has tried this generation.
    Reported {
        /// The generation's number.
        number: u64,
        /// Who.
        consumer: Name,
        /// What it says.
        report: Report,
    },
    /// Every probe has held for its time, and holds.
    Held {
        /// The generation's number.
        number: u64,
    },
    /// A newer verified bundle is here: what waits or is on trial ends.
    Superseded,
    /// The effect under way for this generation could not be done.
    Failed {
        /// The generation's number.
        number: u64,
        /// Why.
        code: Code,
    },
}
