//! What `current` composes, and what generations change in it.

use std::collections::{BTreeMap, BTreeSet};

use casemate_engine::update::{Generation, State};
use casemate_protocol::bundle::manifest::{FileEntry, Manifest};
use casemate_protocol::bundle::part::object_id;
use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::device::id::{Name, Owner};

use super::error::RuntimeError;
use super::keeper::Keeper;
use super::ledger::manifest;
use crate::exit::Failure;
use crate::local_api::answer::{
    Change, DiffReport, FileChange, FilePlace, OwnerDiff, OwnerState, OwnerTree, TreeFile, TreeReport,
};

impl Keeper {
    /// What `current` composes now.
    pub(super) fn tree(&self) -> Result<TreeReport, Failure> {
        let mut owners = Vec::new();
        for (id, state) in &self.store.state().owners {
            let Some(generation) = state.current() else { continue };
            let manifest = manifest(&self.store, id, generation)?;
            owners.push(OwnerTree {
                id: id.clone(),
                state: OwnerState::from(state),
                generation: generation.clone(),
                path: self.trees.current_path(id),
                files: manifest.files.iter().map(described).collect(),
                consumers: manifest.consumers,
            });
        }
        Ok(TreeReport { sequence: self.store.position().size, owners })
    }

    /// Where a current file's bytes are.
    pub(super) fn file(&self, owner: &Owner, path: &FilePath) -> Result<FilePlace, Failure> {
        let none = || RuntimeError::NoFile { owner: owner.clone(), path: path.clone() };
        let current = self.store.state().owners.get(owner).and_then(State::current).ok_or_else(none)?;
        let manifest = manifest(&self.store, owner, current)?;
        let entry = manifest.files.iter().find(|file| file.path == *path).ok_or_else(none)?;
        let TreeFile { length, object, .. } = described(entry);
        Ok(FilePlace { path: self.trees.generation_path(owner, current.number).join(path.as_str()), length, object })
    }

    /// What the generations under way change, or the last ones did.
    pub(super) fn diff(&self) -> Result<DiffReport, Failure> {
        let mut owners = Vec::new();
        for (id, state) in &self.store.state().owners {
            let (from, to) = match state {
                State::Idle { .. } | State::Removed { .. } => continue,
                State::Staging { before, next, .. }
                | State::Waiting { before, next, .. }
                | State::Switching { before, next, .. }
                | State::Probation { before, next, .. } => (before.as_ref(), Some(next)),
                State::Restoring { before, .. } => (before.as_ref(), before.as_ref()),
                // Undone, and what was tried is gone: nothing differs.
                State::Committed { current, previous: None, failed: Some(_), .. } => (Some(current), Some(current)),
                State::Committed { current, previous, .. } => (previous.as_ref(), Some(current)),
                State::Removing { before, .. } => (before.as_ref(), None),
            };
            let read = |generation: Option<&Generation>| {
                generation.map(|generation| manifest(&self.store, id, generation)).transpose()
            };
            let (before, after) = (read(from)?, read(to)?);
            owners.push(OwnerDiff {
                from: from.cloned(),
                to: to.cloned(),
                ..difference(id, before.as_ref(), after.as_ref())
            });
        }
        Ok(DiffReport { owners })
    }

    /// What `next` would change for `owner`.
    pub(super) fn difference_to(&self, owner: &Owner, next: &Manifest, to: &Generation) -> Result<OwnerDiff, Failure> {
        let from = self.store.state().owners.get(owner).and_then(settled_generation);
        let before = from.map(|generation| manifest(&self.store, owner, generation)).transpose()?;
        let changes = difference(owner, before.as_ref(), Some(next));
        Ok(OwnerDiff { from: from.cloned(), to: Some(to.clone()), ..changes })
    }
}

/// What an owner stands on, whatever it is trying.
pub(super) fn settled_generation(state: &State) -> Option<&Generation> {
    match state {
        State::Probation { before, .. } | State::Switching { before, .. } | State::Restoring { before, .. } => {
            before.as_ref()
        }
        state => state.current(),
    }
}

fn described(entry: &FileEntry) -> TreeFile {
    TreeFile {
        path: entry.path.clone(),
        length: entry.length,
        object: object_id(&entry.parts),
        consumer: entry.consumer.clone(),
    }
}

/// Files that differ between two manifests of one owner, and the consumers of those files.
fn difference(id: &Owner, before: Option<&Manifest>, after: Option<&Manifest>) -> OwnerDiff {
    let files = |manifest: Option<&Manifest>| -> BTreeMap<FilePath, TreeFile> {
        let files = manifest.map(|manifest| manifest.files.iter().map(described)).into_iter().flatten();
        files.map(|file| (file.path.clone(), file)).collect()
    };
    let (before, after) = (files(before), files(after));
    let paths: BTreeSet<&FilePath> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    let mut consumers: BTreeSet<Name> = BTreeSet::new();
    for path in paths {
        let (old, new) = (before.get(path), after.get(path));
        let change = match (old, new) {
            (Some(old), Some(new)) if old.object == new.object => continue,
            (Some(_), Some(_)) => Change::Changed,
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
        };
        consumers.extend([old, new].into_iter().flatten().filter_map(|file| file.consumer.clone()));
        let consumer = new.or(old).and_then(|file| file.consumer.clone());
        changes.push(FileChange { path: path.clone(), change, consumer });
    }
    OwnerDiff { id: id.clone(), from: None, to: None, files: changes, consumers: consumers.into_iter().collect() }
}
