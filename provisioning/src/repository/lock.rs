//! One writer at a time.

use std::fs::{File, OpenOptions, TryLockError};

use super::error::RepositoryError;
use super::place::Place;
use crate::file::FileError;

/// The right to write the repository; given back when dropped, also by a process that dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// Somebody else holds it, or the lock file cannot be opened.
    pub(crate) fn take(place: &Place) -> Result<Self, RepositoryError> {
        let path = place.lock();
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(FileError::write(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(RepositoryError::Busy(path)),
            Err(TryLockError::Error(error)) => Err(FileError::write(&path)(error).into()),
        }
    }
}
