//! The input, opened once.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::IntakeError;

/// A bundle to read: its descriptor, never its name again.
#[derive(Debug)]
pub struct Input {
    file: File,
    path: PathBuf,
    before: Identity,
}

/// What changes when a file is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Input {
    /// Opens the regular file at `path`. The last component may not be a symbolic link: on a stick, it could point
    /// anywhere.
    ///
    /// # Errors
    /// It cannot be opened or is no regular file.
    pub fn open(path: &Path) -> Result<Self, IntakeError> {
        let failed = |source| IntakeError::Input { path: path.into(), source };
        // O_NONBLOCK: opening a fifo without a writer must not hang before it can be refused.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.file_type().is_file() {
            return Err(IntakeError::NoFile { path: path.into() });
        }
        let before = Identity::of(&file).map_err(failed)?;
        Ok(Self { file, path: path.into(), before })
    }

    /// A pipe that somebody fills while it is read; `name` is for messages.
    ///
    /// # Errors
    /// It is no pipe.
    pub fn pipe(file: File, name: &str) -> Result<Self, IntakeError> {
        let path = PathBuf::from(name);
        let failed = |source| IntakeError::Input { path: path.clone(), source };
        if !file.metadata().map_err(failed)?.file_type().is_fifo() {
            return Err(IntakeError::NoFile { path });
        }
        let before = Identity::of(&file).map_err(failed)?;
        Ok(Self { file, path, before })
    }

    /// Where it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor a child inherits, at the input's beginning.
    pub(super) fn for_child(&self) -> Result<OwnedFd, IntakeError> {
        let again = || {
            if self.is_file() {
                (&self.file).seek(SeekFrom::Start(0))?;
            }
            self.file.as_fd().try_clone_to_owned()
        };
        again().map_err(|source| IntakeError::Input { path: self.path.clone(), source })
    }

    pub(super) fn is_file(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.file_type().is_file())
    }

    /// Whether it is a pipe with nothing in it that somebody may still write to. A file always has bytes, or an end.
    pub(super) fn is_awaited(&self) -> bool {
        let mut looked = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        poll(&mut looked, PollTimeout::ZERO) == Ok(0)
    }

    /// Whether somebody wrote to the file since it was opened.
    pub(super) fn is_changed(&self) -> bool {
        self.is_file() && Identity::of(&self.file).ok() != Some(self.before)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_an_empty_pipe_that_somebody_may_write_to_is_awaited() {
        let (reading, mut writing) = std::io::pipe().unwrap();
        let input = Input::pipe(OwnedFd::from(reading).into(), "pipe").unwrap();
        assert!(input.is_awaited());
        writing.write_all(b"x").unwrap();
        assert!(!input.is_awaited(), "there is something to read");
        let (reading, writing) = std::io::pipe().unwrap();
        let input = Input::pipe(OwnedFd::from(reading).into(), "pipe").unwrap();
        drop(writing);
        assert!(!input.is_awaited(), "there is an end to read");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!Input::open(file.path()).unwrap().is_awaited(), "a file has an end, too");
    }
}
