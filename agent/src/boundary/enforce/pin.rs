//! Pinning: a person tells the enforcer whose boundary it enforces.

use std::path::Path;

use casemate_protocol::boundary::offer::Anchor;
use casemate_protocol::device::enrolment::EnrolmentGrant;
use casemate_protocol::device::words::Words;

use super::error::EnforceError;
use super::kept::Kept;

/// A pin that nobody confirmed yet.
#[derive(Debug)]
pub struct Pin {
    anchor: Anchor,
    words: Words,
}

impl Pin {
    /// The pin that the grant in `raw` asks for. A grant is unsigned: it counts once somebody has compared its words.
    ///
    /// # Errors
    /// No grant.
    pub fn of(raw: &[u8]) -> Result<Self, EnforceError> {
        let anchor = Anchor::of(&EnrolmentGrant::parse(raw)?);
        let words = anchor.words().map_err(EnforceError::Root)?;
        Ok(Self { anchor, words })
    }

    /// Whose boundary, and where.
    #[must_use]
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// The words, as the control plane shows them.
    #[must_use]
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Pins, if `typed` are the words.
    ///
    /// # Durability
    /// Pinned for good when it returns.
    ///
    /// # Errors
    /// Not root, other words, another pin, or the folder cannot be written.
    pub fn confirm(self, typed: &str, folder: &Path) -> Result<(), EnforceError> {
        let user = nix::unistd::geteuid();
        if !user.is_root() {
            return Err(EnforceError::NotRoot(user.as_raw()));
        }
        if !self.words.matches(typed) {
            return Err(EnforceError::Words);
        }
        Kept::make(folder)?.pin(&self.anchor)
    }
}
