//! The sled folder while this process may write to it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use casemate_protocol::digest::{Digest, Hasher};

use super::content;
use crate::store::error::StoreError;
use crate::store::record::Record;
use crate::store::small_state::SmallState;

/// Bytes sled may use for its page cache; the copy is a few thousand small keys at most.
const CACHE: u64 = 1024 * 1024;
/// Bytes of one of sled's segments. Its default of 512 KiB makes each flush of a small store cost as much.
pub(super) const SEGMENT: usize = 64 * 1024;

/// The second copy. Its failures are told, never fatal: the journal has everything.
#[derive(Debug)]
pub(crate) struct SecondCopy {
    folder: PathBuf,
    db: Option<sled::Db>,
    /// What changed since the last milestone: it goes there as one batch. Until a flush sled promises nothing, so writing
    /// earlier would only cost.
    pending: Vec<Record>,
    failed: bool,
    flushes: u64,
}

impl SecondCopy {
    /// The copy in `folder`, not opened yet. The caller has made sure that the folder is whole or absent.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, db: None, pending: Vec::new(), failed: false, flushes: 0 }
    }

    /// Whether it can no longer follow in this process.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Flushes so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes
    }

    /// Keeps what `records` changed; writes and flushes it at a milestone.
    pub(crate) fn follow(&mut self, records: &[Record], state: &SmallState, size: u64) {
        if self.failed {
            return;
        }
        let outcome = match self.db.take() {
            Some(db) => {
                self.pending.extend(records.iter().filter(|record| content::is_kept(record)).cloned());
                let is_due = records.iter().any(Record::is_milestone);
                let written = if is_due { self.write(&db, state, size) } else { Ok(()) };
                self.db = Some(db);
                written
            }
            None => self.begin(state, size),
        };
        self.failed = outcome.is_err();
    }

    fn write(&mut self, db: &sled::Db, state: &SmallState, size: u64) -> Result<(), CopyError> {
        let mut batch = sled::Batch::default();
        content::touched(&self.pending, state, size, &mut batch);
        if self.pending.iter().any(|record| matches!(record, Record::Taken { .. })) {
            content::forgotten(db, state, &mut batch);
        }
        self.pending.clear();
        db.apply_batch(batch)?;
        self.flush(db)
    }

    /// Opens it, and fills it: the whole content is small, and what the last process left may be behind.
    fn begin(&mut self, state: &SmallState, size: u64) -> Result<(), CopyError> {
        let fresh = !self.folder.exists();
        let config = sled::Config::new().path(&self.folder).cache_capacity(CACHE).segment_size(SEGMENT);
        let db = config.mode(sled::Mode::LowSpace).flush_every_ms(None).open()?;
        let mut batch = sled::Batch::default();
        content::all(state, size, &mut batch);
        db.apply_batch(batch)?;
        self.flush(&db)?;
        if fresh {
            File::open(self.folder.join("conf"))?.sync_all()?;
            File::open(&self.folder)?.sync_all()?;
        }
        self.db = Some(db);
        Ok(())
    }

    fn flush(&mut self, db: &sled::Db) -> Result<(), CopyError> {
        db.flush()?;
        File::open(self.folder.join("db"))?.sync_data()?;
        self.flushes += 1;
        Ok(())
    }

    /// Flushes and closes it; the digest over its files, if it is open and whole.
    pub(crate) fn close(&mut self, state: &SmallState, size: u64) -> Option<Digest> {
        // One that could not follow is not vouched for.
        let db = self.db.take().filter(|_| !self.failed)?;
        let last = self.write(&db, state, size);
        drop(db);
        last.is_ok().then(|| digest(&self.folder)).flatten()
    }
}

#[derive(Debug)]
struct CopyError;

impl From<sled::Error> for CopyError {
    fn from(_: sled::Error) -> Self {
        Self
    }
}

impl From<std::io::Error> for CopyError {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// SHA-256 over names, lengths and contents of all files in `folder`. None if there is no such folder, or something
/// in it cannot be read.
pub(crate) fn digest(folder: &Path) -> Option<Digest> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).ok()? {
            let path = entry.ok()?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut all = Hasher::new();
    for file in files {
        let bytes = fs::read(&file).ok()?;
        all.update(file.strip_prefix(folder).ok()?.to_str()?.as_bytes());
        all.update(&[0]);
        all.update(Digest::of(&bytes).as_bytes());
    }
    Some(all.finish())
}

/// Moves a folder nobody should write to any more out of the way; one is kept for whoever wants to look.
pub(crate) fn set_aside(folder: &Path) -> Result<(), StoreError> {
    let aside = folder.with_extension("set-aside");
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::file("delete", aside)(error));
        }
        _ => {}
    }
    fs::rename(folder, &aside).map_err(StoreError::file("rename", folder))
}
