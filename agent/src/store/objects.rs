//! Content-addressed files.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use casemate_protocol::digest::Digest;

use super::error::StoreError;
use super::lock::make_folder;
use crate::flush::{flush, write_back};

/// Nobody changes an object; consumers read the same inode through their generation.
const READ_ONLY: u32 = 0o444;

/// The objects folder: immutable files named by their id (`bundle::part::object_id`, or the SHA-256 of the bytes).
///
/// One flat folder, so that taking over a bundle's objects costs one fsync of a folder however many they are.
#[derive(Clone, Debug)]
pub struct Objects {
    folder: PathBuf,
}

impl Objects {
    pub(super) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        make_folder(&folder, 0o700)?;
        Ok(Self { folder })
    }

    /// Whether the object is here. A name appears only when its content is durable, so it is here whole.
    #[must_use]
    pub fn has(&self, id: &Digest) -> bool {
        self.path(id).is_file()
    }

    /// Length of the object, bytes, if it is here.
    #[must_use]
    pub fn length(&self, id: &Digest) -> Option<u64> {
        fs::metadata(self.path(id)).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
    }

    /// Where the object is, or would be.
    #[must_use]
    pub fn path(&self, id: &Digest) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes over staged files whose content was verified, each under its id, and stores small contents (metadata,
    /// manifests, receipts) under their SHA-256, which it returns. A staged one that is here already is replaced: what was
    /// just verified is better than what may have rotted. A content that is here already stays.
    ///
    /// # Durability
    /// All of them, when it returns: all written, then each flushed, then renamed, then one fsync of the folder. Flushed
    /// one after the other while they are written, each would have the file system write its own tables again.
    ///
    /// # Errors
    /// A file cannot be written, synced or moved. Those moved already stay: they are what their names say.
    pub fn take_over(&self, staged: &[(Digest, PathBuf)], contents: &[&[u8]]) -> Result<Vec<Digest>, StoreError> {
        for (_, path) in staged {
            fs::set_permissions(path, Permissions::from_mode(READ_ONLY)).map_err(StoreError::file("protect", path))?;
        }
        // Staged ones first: they are not on their way yet, and what is written for them can go with the others'.
        let mut fresh = staged.to_vec();
        let mut known: BTreeSet<Digest> = staged.iter().map(|(id, _)| *id).collect();
        let ids: Vec<Digest> = contents.iter().map(|bytes| Digest::of(bytes)).collect();
        for (id, bytes) in ids.iter().zip(contents) {
            if known.insert(*id) && !fs::read(self.path(id)).is_ok_and(|held| held == **bytes) {
                fresh.push((*id, self.write(id, bytes)?));
            }
        }
        if fresh.is_empty() {
            return Ok(ids);
        }
        let paths: Vec<&Path> = fresh.iter().map(|(_, path)| path.as_path()).collect();
        flush(&paths).map_err(|(path, error)| StoreError::file("sync", path)(error))?;
        for (id, path) in &fresh {
            fs::rename(path, self.path(id)).map_err(StoreError::file("rename", path))?;
        }
        self.sync()?;
        Ok(ids)
    }

    /// As [`Self::take_over`], of contents alone.
    ///
    /// # Errors
    /// As [`Self::take_over`].
    pub fn put(&self, contents: &[&[u8]]) -> Result<Vec<Digest>, StoreError> {
        self.take_over(&[], contents)
    }

    /// Writes a content beside its place; returns where. Its way to the disk has begun.
    fn write(&self, id: &Digest, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.folder.join(format!("{id}.new"));
        let create = || OpenOptions::new().write(true).create_new(true).mode(READ_ONLY).open(&path);
        let fill = || {
            let mut file = match create() {
                // A leftover of a crash is not ours to continue: its mode forbids even that.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    fs::remove_file(&path)?;
                    create()?
                }
                created => created?,
            };
            file.write_all(bytes)?;
            write_back(&file, bytes.len());
            Ok(())
        };
        fill().map_err(StoreError::file("write", &path))?;
        Ok(path)
    }

    /// Reads a small object stored under its SHA-256 and checks that it still is what its name says.
    ///
    /// # Errors
    /// Absent, unreadable, or rotten.
    pub fn read(&self, id: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(id);
        let bytes = fs::read(&path).map_err(StoreError::file("read", &path))?;
        let found = Digest::of(&bytes);
        if found == *id { Ok(bytes) } else { Err(StoreError::ObjectMismatch { expected: *id, found }) }
    }

    /// Deletes every object not in `keep`, and what crashes left half written; says how many. Generations keep their
    /// files: they are links of their own.
    ///
    /// # Errors
    /// The folder cannot be read or a file not be deleted.
    pub fn collect(&self, keep: &BTreeSet<Digest>) -> Result<usize, StoreError> {
        let mut deleted = 0;
        for entry in fs::read_dir(&self.folder).map_err(StoreError::file("read", &self.folder))? {
            let entry = entry.map_err(StoreError::file("read", &self.folder))?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if !id.is_some_and(|id| keep.contains(&id)) {
                fs::remove_file(entry.path()).map_err(StoreError::file("delete", entry.path()))?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(StoreError::file("sync", &self.folder))
    }
}
