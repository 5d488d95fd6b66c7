//! Content-addressed files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use casemate_protocol::digest::Digest;

use super::error::StoreError;

/// The objects folder: immutable files named by their id (`bundle::part::object_id`, or the SHA-256 of the bytes).
#[derive(Debug)]
pub struct Objects {
    folder: PathBuf,
}

impl Objects {
    pub(super) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&folder).map_err(StoreError::file("create", &folder))?;
        Ok(Self { folder })
    }

    /// Whether the object is here, whole.
    #[must_use]
    pub fn has(&self, id: &Digest) -> bool {
        self.path(id).is_file()
    }

    /// Where the object is, or would be.
    #[must_use]
    pub fn path(&self, id: &Digest) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Takes over staged files whose content was verified, each by its id: fsync of each, rename, one fsync of the
    /// folder.
    ///
    /// # Durability
    /// All of them, when it returns.
    ///
    /// # Errors
    /// A file cannot be synced or moved. Those moved already stay: they are what their names say.
    pub fn adopt(&self, staged: &[(Digest, PathBuf)]) -> Result<(), StoreError> {
        for (id, path) in staged {
            std::fs::rename(path, self.path(id)).map_err(StoreError::file("rename", path))?;
        }
        Ok(())
    }

    /// Stores small contents (metadata, manifests, receipts) under their SHA-256.
    ///
    /// # Durability
    /// All of them, when it returns.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn put(&self, contents: &[&[u8]]) -> Result<Vec<Digest>, StoreError> {
        contents
            .iter()
            .map(|bytes| {
                let id = Digest::of(bytes);
                std::fs::write(self.path(&id), bytes).map_err(StoreError::file("write", self.path(&id)))?;
                Ok(id)
            })
            .collect()
    }

    /// Reads a small object stored under its SHA-256 and checks that it still is what its name says.
    ///
    /// # Errors
    /// Absent, unreadable, or rotten.
    pub fn read(&self, id: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(id);
        let bytes = std::fs::read(&path).map_err(StoreError::file("read", &path))?;
        let found = Digest::of(&bytes);
        if found == *id { Ok(bytes) } else { Err(StoreError::ObjectMismatch { expected: *id, found }) }
    }

    /// Deletes every object not in `keep`; says how many.
    ///
    /// # Errors
    /// The folder cannot be read or a file not be deleted.
    pub fn collect(&self, keep: &BTreeSet<Digest>) -> Result<usize, StoreError> {
        let mut deleted = 0;
        for entry in std::fs::read_dir(&self.folder).map_err(StoreError::file("read", &self.folder))? {
            let entry = entry.map_err(StoreError::file("read", &self.folder))?;
            let kept =
                entry.file_name().to_str().and_then(|name| name.parse().ok()).is_some_and(|id| keep.contains(&id));
            if !kept {
                std::fs::remove_file(entry.path()).map_err(StoreError::file("delete", entry.path()))?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
