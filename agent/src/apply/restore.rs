//! Going back, and going away.

use casemate_protocol::device::id::Owner;

use super::error::ApplyError;
use super::trees::{Trees, delete_tree};

impl Trees {
    /// Points `current/<tree>` at what it pointed at before: a generation that is still whole, or nothing.
    ///
    /// # Durability
    /// When it returns.
    ///
    /// # Errors
    /// The link cannot be replaced or removed.
    pub fn restore(&self, owner: &Owner, before: Option<u64>) -> Result<(), ApplyError> {
        match before {
            Some(number) => self.switch(owner, number),
            None => self.unlink(owner),
        }
    }

    /// Takes an owner away that left the assignment: `current` first, then its generations.
    ///
    /// # Durability
    /// When it returns, nothing of the owner is current any more.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub fn remove(&self, owner: &Owner) -> Result<(), ApplyError> {
        self.unlink(owner)?;
        delete_tree(&self.generations_path(owner))
    }
}
