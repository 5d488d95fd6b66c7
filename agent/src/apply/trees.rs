//! Where generations stand, and what stands there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
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

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What consumers read: `current/<tree>`.
    #[must_use]
    pub fn current_path(&self, owner: &Owner) -> PathBuf {
        self.root.join("current").join(owner.tree())
    }

    /// The owner's generations.
    pub(super) fn generations_path(&self, owner: &Owner) -> PathBuf {
        self.root.join("generations").join(owner.tree())
    }

    /// Where a generation stands.
    #[must_use]
    pub fn generation_path(&self, owner: &Owner, number: u64) -> PathBuf {
        self.generations_path(owner).join(number.to_string())
    }

    /// The generation `current/<tree>` points at.
    #[must_use]
    pub fn current(&self, owner: &Owner) -> Option<u64> {
        let link = fs::read_link(self.current_path(owner)).ok()?;
        link.file_name()?.to_str()?.parse().ok()
    }

    /// Deletes every generation of the owners in `keep` but those named there: what a crash between a decision and
    /// its deletion left behind. What `current` points at stays in any case.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub fn sweep(&self, keep: &BTreeMap<Owner, BTreeSet<u64>>) -> Result<(), ApplyError> {
        for (owner, keep) in keep {
            let folder = self.generations_path(owner);
            let current = self.current(owner);
            for name in names(&folder)? {
                let number = name.parse().ok();
                let kept = number.is_some_and(|number| keep.contains(&number) || current == Some(number));
                if !kept {
                    delete_tree(&folder.join(name))?;
                }
            }
        }
        Ok(())
    }
}

/// The names in a folder; none if there is no such folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, ApplyError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ApplyError::of("read", folder)(error)),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = entries.map(name).collect::<Result<_, _>>().map_err(ApplyError::of("read", folder))?;
    names.sort();
    Ok(names)
}

/// Makes the names in `folder` durable.
pub(super) fn sync(folder: &Path) -> Result<(), ApplyError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(ApplyError::of("sync", folder))
}

/// Makes `folder` below `root` with everything between, each durably in the one above it.
pub(super) fn make_durably(root: &Path, folder: &Path) -> Result<(), ApplyError> {
    let Ok(below) = folder.strip_prefix(root) else { return Ok(()) };
    let mut at = root.to_path_buf();
    for component in below.components() {
        let above = at.clone();
        at.push(component);
        match fs::create_dir(&at) {
            Ok(()) => sync(&above)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ApplyError::of("create", at)(error)),
        }
    }
    Ok(())
}

/// Deletes a generation: its folders are read-only and have to be opened first.
pub(super) fn delete_tree(folder: &Path) -> Result<(), ApplyError> {
    use std::os::unix::fs::PermissionsExt;

    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ApplyError::of("read", folder)(error)),
        Ok(metadata) if !metadata.is_dir() => {
            return fs::remove_file(folder).map_err(ApplyError::of("delete", folder));
        }
        Ok(_) => {}
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(ApplyError::of("open up", folder))?;
    for name in names(folder)? {
        delete_tree(&folder.join(name))?;
    }
    fs::remove_dir(folder).map_err(ApplyError::of("delete", folder))
}
