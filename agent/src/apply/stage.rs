//! Building a generation beside what is current.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use casemate_protocol::device::id::Owner;

use super::error::ApplyError;
use super::trees::{TreeFile, Trees, delete_tree, make_durably, sync};
use crate::flush::flush;

/// Folders of a finished generation: nobody adds to it by mistake.
const READ_ONLY_FOLDER: u32 = 0o555;

impl Trees {
    /// Builds generation `number` from `files`, beside what is current. One that is there already is whole and stays.
    ///
    /// # Durability
    /// The whole generation, when it returns: built under another name, every folder flushed, then renamed.
    ///
    /// # Errors
    /// A folder or link cannot be made. What was built so far is under a name that nothing reads, and goes with the
    /// next attempt or sweep.
    pub fn stage(&self, owner: &Owner, number: u64, files: &[TreeFile]) -> Result<(), ApplyError> {
        let folder = self.generations_path(owner);
        let target = self.generation_path(owner, number);
        if target.is_dir() {
            return Ok(());
        }
        make_durably(self.root(), &folder)?;
        let partial = folder.join(format!("{number}.partial"));
        delete_tree(&partial)?;
        let Built { folders, copies } = build(&partial, files)?;
        for folder in folders.iter().rev() {
            fs::set_permissions(folder, Permissions::from_mode(READ_ONLY_FOLDER))
                .map_err(ApplyError::of("protect", folder))?;
        }
        // Deepest first, so that a folder is durable before the one that names it.
        let made: Vec<&Path> = copies.iter().chain(folders.iter().rev()).map(PathBuf::as_path).collect();
        flush(&made).map_err(|(path, error)| ApplyError::of("sync", path)(error))?;
        fs::rename(&partial, &target).map_err(ApplyError::of("rename", &partial))?;
        sync(&folder)
    }

    /// Deletes generation `number`, whole or partial.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub fn discard(&self, owner: &Owner, number: u64) -> Result<(), ApplyError> {
        let whole = self.generation_path(owner, number);
        let partial = self.generations_path(owner).join(format!("{number}.partial"));
        delete_tree(&partial)?;
        if whole.is_dir() {
            // Renamed first: a half-deleted folder must never stand under a generation's name.
            fs::rename(&whole, &partial).map_err(ApplyError::of("rename", &whole))?;
        }
        delete_tree(&partial)
    }
}

/// What was made and is not durable yet.
struct Built {
    /// Each before those inside it.
    folders: BTreeSet<PathBuf>,
    /// Files that are no links.
    copies: Vec<PathBuf>,
}

/// Makes the folders and links below `root`.
fn build(root: &Path, files: &[TreeFile]) -> Result<Built, ApplyError> {
    let (mut folders, mut copies) = (BTreeSet::from([root.to_path_buf()]), Vec::new());
    fs::create_dir(root).map_err(ApplyError::of("create", root))?;
    for file in files {
        let mut folder = root.to_path_buf();
        let mut components = file.path.components().peekable();
        while let Some(component) = components.next() {
            let path = folder.join(component);
            if components.peek().is_none() {
                copies.extend(link(&file.object, &path)?);
            } else if folders.insert(path.clone()) {
                fs::create_dir(&path).map_err(ApplyError::of("create", &path))?;
            }
            folder = path;
        }
    }
    Ok(Built { folders, copies })
}

/// The object under another name; a copy, which is named, where the file system allows an inode no more names.
fn link(object: &Path, path: &Path) -> Result<Option<PathBuf>, ApplyError> {
    match fs::hard_link(object, path) {
        Err(error) if error.kind() == io::ErrorKind::TooManyLinks => {
            fs::copy(object, path).map_err(ApplyError::of("copy", object))?;
            Ok(Some(path.into()))
        }
        linked => linked.map(|()| None).map_err(ApplyError::of("link", object)),
    }
}
