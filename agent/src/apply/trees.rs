//! The two folders, `generations` and `current`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::device::id::Owner;

use super::error::ApplyError;

/// One file of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// Where it stands in the generation.
    pub path: FilePath,
    /// The object it is, on the same file system.
    pub object: PathBuf,
}

/// The folders `generations` and `current` below one root.
#[derive(Clone, Debug)]
pub struct Trees {
    root: PathBuf,
}

impl Trees {
    /// The trees below `root`, which exists.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// What consumers read: `current/<tree>`.
    #[must_use]
    pub fn current_path(&self, owner: &Owner) -> PathBuf {
        self.root.join("current").join(owner.tree())
    }

    /// Where a generation stands.
    #[must_use]
    pub fn generation_path(&self, owner: &Owner, number: u64) -> PathBuf {
        self.root.join("generations").join(owner.tree()).join(number.to_string())
    }

    /// Builds generation `number` from `files`, beside what is current.
    ///
    /// # Durability
    /// The whole generation, when it returns.
    ///
    /// # Errors
    /// A folder or link cannot be made.
    pub fn stage(&self, _owner: &Owner, _number: u64, _files: &[TreeFile]) -> Result<(), ApplyError> {
        Ok(())
    }

    /// Points `current/<tree>` at generation `number`, by one rename.
    ///
    /// # Durability
    /// When it returns.
    ///
    /// # Errors
    /// The generation is not there, or the link cannot be replaced.
    pub fn switch(&self, _owner: &Owner, _number: u64) -> Result<(), ApplyError> {
        Ok(())
    }

    /// Takes `current/<tree>` away.
    ///
    /// # Errors
    /// The link cannot be removed.
    pub fn unlink(&self, _owner: &Owner) -> Result<(), ApplyError> {
        Ok(())
    }

    /// Deletes generation `number`, whole or partial.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub fn discard(&self, _owner: &Owner, _number: u64) -> Result<(), ApplyError> {
        Ok(())
    }

    /// The generation `current/<tree>` points at.
    #[must_use]
    pub fn current(&self, _owner: &Owner) -> Option<u64> {
        None
    }

    /// Deletes every generation that is not in `keep`: what a crash between a decision and its deletion left behind.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub fn sweep(&self, _keep: &BTreeMap<Owner, BTreeSet<u64>>) -> Result<(), ApplyError> {
        Ok(())
    }
}
