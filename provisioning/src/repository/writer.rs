//! Publishes a state: everything is on disk before the one rename that makes it current.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::RoleName;

use super::editor::Issue;
use super::error::RepositoryError;
use super::lock::Lock;
use super::place::Place;
use crate::file::{self, Audience, FileError};

/// A target's file and where its bytes are now.
#[derive(Clone, Debug)]
pub(crate) struct NewTarget {
    /// The target path.
    pub(crate) path: String,
    /// SHA-256 of the content.
    pub(crate) digest: Digest,
    /// A file with that content, on the same disk if possible.
    pub(crate) source: PathBuf,
}

/// A moment between two steps: where tests pull the plug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The targets are on disk.
    Targets,
    /// One more metadata file is on disk.
    Metadata,
    /// Everything but the name `timestamp.json` is on disk.
    Timestamp,
}

/// Writes a repository; holds its lock.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    place: &'a Place,
    _lock: &'a Lock,
}

impl<'a> Writer<'a> {
    /// A writer under `lock`.
    pub(crate) fn new(place: &'a Place, lock: &'a Lock) -> Self {
        Self { place, _lock: lock }
    }

    /// Publishes `issue` and the targets it lists.
    ///
    /// # Errors
    /// Writing fails, a source is not what it should be, or a version stands on disk with other content. The state
    /// published before then still is.
    ///
    /// # Durability
    /// All of the new state is on disk when this returns; after a crash before that, either the old state is current
    /// or the new one, whole.
    pub(crate) fn publish(&self, targets: &[NewTarget], issue: &Issue) -> Result<(), RepositoryError> {
        self.publish_stepwise(targets, issue, &mut |_| Ok(()))
    }

    fn publish_stepwise(
        &self,
        targets: &[NewTarget],
        issue: &Issue,
        between: &mut dyn FnMut(Step) -> io::Result<()>,
    ) -> Result<(), RepositoryError> {
        let folder = self.place.metadata();
        let mut step = |step| between(step).map_err(FileError::write(&folder));
        for target in targets {
            self.add_target(target)?;
        }
        step(Step::Targets)?;
        for (role, version, raw) in &issue.metadata {
            self.add_version(&self.place.version(role, *version), raw)?;
            step(Step::Metadata)?;
        }
        let newest = issue.metadata.iter().find(|(role, ..)| *role == RoleName::timestamp());
        let (_, _, raw) =
            newest.ok_or(RepositoryError::Unnamed { by: "the issue".into(), what: "timestamp".into() })?;
        step(Step::Timestamp)?;
        Ok(file::replace(&self.place.timestamp(), raw)?)
    }

    /// A version is written once. The same bytes again are an interrupted run being finished.
    fn add_version(&self, path: &Path, raw: &[u8]) -> Result<(), RepositoryError> {
        match file::create(path, raw, Audience::Everybody) {
            Err(FileError::Exists(_))
                if file::read_if_any(path, raw.len() as u64).is_ok_and(|old| old.as_deref() == Some(raw)) =>
            {
                Ok(())
            }
            Err(FileError::Exists(path)) => Err(RepositoryError::VersionTaken(path)),
            other => Ok(other?),
        }
    }

    fn add_target(&self, target: &NewTarget) -> Result<(), RepositoryError> {
        let path = self.place.target(&target.path, &target.digest);
        if path.is_file() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&path).to_owned();
        make_durable_folder(&folder, &self.place.targets())?;
        let temporary = path.with_extension(format!("{}.part", std::process::id()));
        let _ = fs::remove_file(&temporary);
        // A link where the file system allows it: the plan's objects are ours and never edited.
        fs::hard_link(&target.source, &temporary)
            .or_else(|_| fs::copy(&target.source, &temporary).map(drop))
            .map_err(FileError::write(&path))?;
        let found = crate::site::folder::digest_of(&temporary)?;
        if found != target.digest {
            let _ = fs::remove_file(&temporary);
            return Err(RepositoryError::Mismatch {
                path: target.source.clone(),
                by: "the plan".into(),
                expected: target.digest.to_string(),
                found: found.to_string(),
            });
        }
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(FileError::write(&temporary))?;
        fs::rename(&temporary, &path).map_err(FileError::write(&path))?;
        Ok(file::sync_folder_of(&path)?)
    }
}

/// Makes `folder` and syncs the name of every folder between it and `top`.
fn make_durable_folder(folder: &Path, top: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    file::create_folder(folder)?;
    for above in folder.ancestors().take_while(|above| above.starts_with(top)) {
        file::sync_folder_of(above)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
