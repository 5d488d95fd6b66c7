//! The state folder and the one process that owns it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use casemate_protocol::evidence::receipt::{ClockQuality, JournalPosition};
use casemate_protocol::tuf::time::UtcTime;

use super::error::StoreError;
use super::journal::{Damage, Journal, Opened};
use super::lock::{Lock, make_folder};
use super::objects::Objects;
use super::record::Record;
use super::small_state::SmallState;
use super::state::{SecondCopy, digest, read_out, set_aside};

/// How to open.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Program and leading arguments that call [`super::probe`] on the path added to them. The agent gives itself and
    /// its hidden command. Without one a second copy not known to be whole is set aside unread.
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
    /// Nothing was cut, the highest floors hold, and changes are refused until a stated recovery.
    Quarantine {
        /// What is wrong, for the operator.
        damage: Damage,
    },
}

/// The one owner of a state folder.
///
/// Blocking: it belongs on a thread of its own, which then does every fsync.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    journal: Journal,
    copy: SecondCopy,
    objects: Objects,
    state: SmallState,
    /// Floors of the second copy that are higher than the journal's: recorded with the next commit.
    raised: bool,
    /// Something was committed since opening.
    changed: bool,
    /// The full disk was recorded; once is enough until something can be written again.
    full: bool,
    _lock: Lock,
}

impl Store {
    /// Takes the lock and brings the state back: lock → journal → second copy → objects.
    ///
    /// Keys are not the store's: load them between this and the pending effects.
    ///
    /// # Errors
    /// The folder is another user's or in use, or a file cannot be read. Damage is not an error, see
    /// [`Recovery::Quarantine`].
    pub fn open(folder: &Path, options: &Options) -> Result<(Self, Recovery), StoreError> {
        let lock = Lock::take(folder)?;
        let journal_folder = folder.join("journal");
        make_folder(&journal_folder, 0o700)?;
        let (mut journal, Opened { mut state, folded, cut, mut damage }) = Journal::open(&journal_folder)?;

        let copy_folder = folder.join("copy");
        let known = state.stopped.as_ref().and_then(|stopped| stopped.copy);
        let mut raised = false;
        let whole = damage.is_none() && known.is_some() && known == digest(&copy_folder);
        if !whole && copy_folder.exists() {
            let remembered = options.probe.as_ref().and_then(|command| read_out(command, &copy_folder));
            if let Some(remembered) = remembered {
                let held = journal.position().size;
                if remembered.size > held {
                    damage.get_or_insert(Damage::Lost { held, known: remembered.size });
                    state.owners = remembered.owners;
                    state.boundary = remembered.boundary.or(state.boundary);
                }
                let highest = state.floors.highest(&remembered.floors);
                raised = highest != state.floors;
                state.floors = highest;
            }
            if damage.is_none() {
                set_aside(&copy_folder)?;
            }
        }
        if damage.is_some() {
            journal.quarantine();
        }
        let objects = Objects::open(folder.join("objects"))?;
        make_folder(&folder.join("staging"), 0o700)?;
        let recovery = match damage {
            Some(damage) => Recovery::Quarantine { damage },
            None if journal.position().size == 0 && cut == 0 => Recovery::Fresh,
            None if state.stopped.is_some() => Recovery::Clean,
            None => Recovery::Replayed { records: folded, cut },
        };
        let copy = SecondCopy::new(copy_folder);
        let folder = folder.into();
        Ok((Self { folder, journal, copy, objects, state, raised, changed: false, full: false, _lock: lock }, recovery))
    }

    /// The state as of the last commit.
    #[must_use]
    pub fn state(&self) -> &SmallState {
        &self.state
    }

    /// The journal's size and tree head.
    #[must_use]
    pub fn position(&self) -> JournalPosition {
        self.journal.position()
    }

    /// Records all of `records` or none, and folds them into the state.
    ///
    /// # Durability
    /// Everything, when it returns `Ok`. On `Err` nothing is acknowledged and the state is as before. The second copy
    /// follows after the journal; its failure is no error, see [`Self::is_copied`].
    ///
    /// # Errors
    /// See [`StoreError`]; after a failed write every further commit is refused.
    pub fn commit(&mut self, stamp: Stamp, records: &[Record]) -> Result<JournalPosition, StoreError> {
        let mut all = Vec::with_capacity(records.len() + 1);
        if self.raised {
            all.push(Record::Raised { floors: self.state.floors.clone() });
        }
        all.extend_from_slice(records);
        self.record(stamp, &all)?;
        self.raised = false;
        self.copy.follow(&all, &self.state, self.journal.position().size);
        // Postponed by a failure, not lost: the journal has what a checkpoint would hold.
        let _ = self.journal.checkpoint(&self.state, false);
        Ok(self.position())
    }

    fn record(&mut self, stamp: Stamp, records: &[Record]) -> Result<(), StoreError> {
        self.journal.check()?;
        let mut next = self.state.clone();
        for record in records {
            let before = next.floors.clone();
            next.apply(stamp.wall, record);
            if !next.floors.covers(&before) {
                return Err(StoreError::FloorLowered { root_version: before.root_version });
            }
        }
        match self.journal.append(stamp, records) {
            Ok(()) => {
                self.full = false;
                self.changed = true;
                self.state = next;
                Ok(())
            }
            Err(StoreError::DiskFull { path, wanted }) => {
                if !self.full {
                    let note = Record::DiskFull { wanted };
                    self.full = self.journal.append(stamp, std::slice::from_ref(&note)).is_ok();
                }
                Err(StoreError::DiskFull { path, wanted })
            }
            Err(error) => Err(error),
        }
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

    /// Deletes what stands in the staging folder; says how many files.
    ///
    /// # Errors
    /// The folder cannot be read or a file not be deleted.
    pub fn clear_staging(&self) -> Result<usize, StoreError> {
        let folder = self.staging();
        let mut deleted = 0;
        for entry in std::fs::read_dir(&folder).map_err(StoreError::file("read", &folder))? {
            let path = entry.map_err(StoreError::file("read", &folder))?.path();
            // Where it is a file system of its own, it has folders of its own too.
            if !path.is_dir() {
                std::fs::remove_file(&path).map_err(StoreError::file("delete", &path))?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Whether the second copy follows. If not, floors stand in the journal and its checkpoints only: health says so.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        !self.copy.has_failed()
    }

    /// How often the second copy was flushed since opening.
    #[must_use]
    pub fn copy_flushes(&self) -> u64 {
        self.copy.flushes()
    }

    /// Closes in order, so that the next open need not replay. Does nothing if nothing was committed.
    ///
    /// # Errors
    /// As [`Self::commit`]; the state is safe in any case.
    pub fn close(mut self, stamp: Stamp) -> Result<(), StoreError> {
        if !self.changed {
            return Ok(());
        }
        let size = self.journal.position().size;
        let copy = self.copy.close(&self.state, size);
        self.record(stamp, &[Record::Stopped { copy }])?;
        self.journal.checkpoint(&self.state, true)
    }
}
