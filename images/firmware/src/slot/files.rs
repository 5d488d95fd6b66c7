//! Two slots that are files or block devices, and a pointer file that names the one to boot next.
//!
//! The boot loader reads the pointer, one line with the slot's name, and tells the kernel which slot it booted by the
//! word `casemate.slot=<name>`. Without that word nothing is written: guessing could overwrite what runs.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use casemate_protocol::digest::{Digest, Hasher};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::error::SlotError;
use super::writer::{Progress, SlotName, SlotWriter, Slots};
use crate::atomic_file;

/// The word on the kernel's command line.
const BOOTED: &str = "casemate.slot=";
/// Bytes moved at once.
const CHUNK: usize = 1024 * 1024;

/// Slots that this process writes itself.
#[derive(Clone, Debug)]
pub struct Files {
    slots: BTreeMap<SlotName, PathBuf>,
    pointer: PathBuf,
    booted: PathBuf,
    limit: Duration,
}

impl Files {
    /// `slots` are two; `pointer` names the one to boot next; `booted` is the kernel's command line; writing and
    /// reading back may take `limit`.
    #[must_use]
    pub fn new(slots: BTreeMap<SlotName, PathBuf>, pointer: PathBuf, booted: PathBuf, limit: Duration) -> Self {
        Self { slots, pointer, booted, limit }
    }

    /// [`SlotWriter::look`], on the calling thread.
    ///
    /// # Errors
    /// The running slot is unknown; a file cannot be read.
    pub fn inspect(&self) -> Result<Slots, SlotError> {
        let text = read(&self.booted)?.unwrap_or_default();
        let word = text.split_whitespace().filter_map(|word| word.strip_prefix(BOOTED)).next_back();
        let booted = self.known(word, &self.booted)?;
        let next = match read(&self.pointer)? {
            None => booted.clone(),
            Some(text) => self.known(Some(text.trim()), &self.pointer)?,
        };
        // A system that runs may change its own slot: its content is no seal.
        let seals = self.slots.iter().map(|(name, path)| (name.clone(), path.display().to_string()));
        Ok(Slots { booted, next, seals: seals.collect() })
    }

    fn known(&self, found: Option<&str>, place: &Path) -> Result<SlotName, SlotError> {
        let known = found.and_then(|found| self.slots.keys().find(|name| name.as_str() == found));
        known.cloned().ok_or_else(|| SlotError::BootedUnknown {
            place: place.display().to_string(),
            found: found.map(Into::into),
            known: self.slots.keys().map(ToString::to_string).collect(),
        })
    }

    /// [`SlotWriter::install`], on the calling thread.
    ///
    /// # Errors
    /// See [`SlotError`]. The slot that runs is marked then.
    pub fn write(&self, artifact: &Path, progress: &Progress) -> Result<SlotName, SlotError> {
        let slots = self.inspect()?;
        let other = self.slots.iter().find(|(name, _)| **name != slots.booted);
        let (slot, path) = other.ok_or_else(|| SlotError::NotMarked { next: slots.booted.clone() })?;
        if slots.next != slots.booted {
            // What boots next is about to be overwritten.
            self.point(&slots.booted)?;
        }
        let pass = Pass { deadline: Instant::now() + self.limit, limit: self.limit, progress };
        let (length, written) = pass.fill(artifact, slot, path)?;
        let found = pass.read_back(path, length)?;
        if found != written {
            return Err(SlotError::ReadBack { slot: slot.clone(), expected: written, found });
        }
        self.point(slot)?;
        Ok(slot.clone())
    }

    fn point(&self, slot: &SlotName) -> Result<(), SlotError> {
        let text = format!("{slot}\n");
        atomic_file::replace(&self.pointer, text.as_bytes()).map_err(|source| file("replace", &self.pointer, source))
    }
}

impl SlotWriter for Files {
    async fn look(&self) -> Result<Slots, SlotError> {
        self.inspect()
    }

    async fn install(&self, artifact: &Path, progress: &Progress) -> Result<SlotName, SlotError> {
        let (writer, artifact, progress) = (self.clone(), artifact.to_owned(), Arc::clone(progress));
        let written = tokio::task::spawn_blocking(move || writer.write(&artifact, &progress)).await;
        written.unwrap_or_else(|error| Err(file("write", &self.pointer, std::io::Error::other(error))))
    }

    async fn boot_next(&self, slot: &SlotName) -> Result<(), SlotError> {
        self.known(Some(slot.as_str()), &self.pointer)?;
        self.point(slot)
    }
}

/// One pass over a slot.
struct Pass<'a> {
    deadline: Instant,
    limit: Duration,
    progress: &'a Progress,
}

impl Pass<'_> {
    /// Writes the artifact over the slot, to the disk; its length and digest. Counts as the first half.
    fn fill(&self, artifact: &Path, slot: &SlotName, path: &Path) -> Result<(u64, Digest), SlotError> {
        let mut from = File::open(artifact).map_err(|source| file("open", artifact, source))?;
        let length = from.metadata().map_err(|source| file("open", artifact, source))?.len();
        let failed = |source| file("write", path, source);
        let mut to = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        if to.metadata().map_err(failed)?.file_type().is_block_device() {
            let room = to.seek(SeekFrom::End(0)).map_err(failed)?;
            if room < length {
                return Err(SlotError::TooSmall { slot: slot.clone(), room, needed: length });
            }
            to.rewind().map_err(failed)?;
        } else {
            to.set_len(length).map_err(failed)?;
        }
        let digest = self.copy(&mut from, length, 0, |chunk| to.write_all(chunk).map_err(failed))?;
        to.sync_all().map_err(failed)?;
        Ok((length, digest))
    }

    /// The digest of the slot's first `length` bytes, from the disk: the second half.
    fn read_back(&self, path: &Path, length: u64) -> Result<Digest, SlotError> {
        let mut slot = File::open(path).map_err(|source| file("read", path, source))?;
        // Drops the pages just written and synced, so that the medium is asked and not the cache. Only advice.
        let _advice = posix_fadvise(slot.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        self.copy(&mut slot, length, 50, |_| Ok(()))
    }

    fn copy(
        &self,
        from: &mut File,
        length: u64,
        base: u8,
        mut sink: impl FnMut(&[u8]) -> Result<(), SlotError>,
    ) -> Result<Digest, SlotError> {
        let (mut buffer, mut hasher, mut done) = (vec![0; CHUNK], Hasher::new(), 0);
        let mut from = from.take(length);
        loop {
            let count = from.read(&mut buffer).map_err(|source| file("read", Path::new("the artifact"), source))?;
            if count == 0 {
                return Ok(hasher.finish());
            }
            if Instant::now() > self.deadline {
                return Err(SlotError::TimedOut(self.limit));
            }
            hasher.update(&buffer[..count]);
            sink(&buffer[..count])?;
            done += count as u64;
            (self.progress)(base + u8::try_from(done * 50 / length.max(1)).unwrap_or(50));
        }
    }
}

fn read(path: &Path) -> Result<Option<String>, SlotError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file("read", path, source)),
    }
}

fn file(verb: &'static str, path: &Path, source: std::io::Error) -> SlotError {
    SlotError::File { verb, path: path.into(), source }
}

#[cfg(test)]
mod tests;
