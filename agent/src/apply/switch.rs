//! Making a generation current.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use casemate_protocol::device::id::Owner;

use super::error::ApplyError;
use super::trees::{Trees, make_durably, sync};

impl Trees {
    /// Points `current/<tree>` at generation `number`, by one rename: a reader sees the one before or this one.
    ///
    /// # Durability
    /// When it returns.
    ///
    /// # Errors
    /// The generation is not there, or the link cannot be replaced.
    pub fn switch(&self, owner: &Owner, number: u64) -> Result<(), ApplyError> {
        let generation = self.generation_path(owner, number);
        if !generation.is_dir() {
            return Err(ApplyError::of("switch to", generation)(io::ErrorKind::NotFound.into()));
        }
        let link = self.current_path(owner);
        let folder = parent(&link);
        make_durably(self.root(), folder)?;
        if self.current(owner) != Some(number) {
            // '~' stands in no owner's name.
            let next = folder.join("~next");
            remove(&next)?;
            // Relative, so that the folder can be mounted or moved elsewhere; `current/groups` is two below the root.
            let target: PathBuf = ["..", "..", "generations", &owner.tree(), &number.to_string()].iter().collect();
            symlink(&target, &next).map_err(ApplyError::of("link", &next))?;
            fs::rename(&next, &link).map_err(ApplyError::of("rename", &next))?;
        }
        sync(folder)
    }

    /// Takes `current/<tree>` away.
    ///
    /// # Durability
    /// When it returns.
    ///
    /// # Errors
    /// The link cannot be removed.
    pub fn unlink(&self, owner: &Owner) -> Result<(), ApplyError> {
        let link = self.current_path(owner);
        let folder = parent(&link);
        remove(&link)?;
        if folder.is_dir() { sync(folder) } else { Ok(()) }
    }
}

fn parent(link: &Path) -> &Path {
    link.parent().unwrap_or(link)
}

fn remove(path: &Path) -> Result<(), ApplyError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ApplyError::of("delete", path)(error)),
        _ => Ok(()),
    }
}
