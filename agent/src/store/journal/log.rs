//! The journal while it is open.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use casemate_protocol::evidence::merkle::{Entry, Frontier, SALT_LEN, body_digest};
use casemate_protocol::evidence::receipt::JournalPosition;
use ring::rand::{SecureRandom, SystemRandom};

use super::checkpoint::{self, Checkpoint, Slot};
use super::replay::{Damage, Replay, replay};
use super::segment::{self, HEADER_LEN, Header, SEGMENT_LEN};
use crate::store::error::StoreError;
use crate::store::folder::Stamp;
use crate::store::record::Record;
use crate::store::small_state::SmallState;
use casemate_protocol::evidence::frame::{self, FrameRecord, MAX_FRAME};

/// Kept back at the end of a segment that has no successor, bytes: room to record that the disk is full, and to close.
const KEPT_BACK: usize = 64 * 1024;
/// A checkpoint is due after this many records: opening after a crash folds no more than these.
const CHECKPOINT_EVERY: u64 = 1024;

/// The open journal: the only writer of its folder.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    random: SystemRandom,
    frontier: Frontier,
    /// The segment being written and where its next frame goes; none before the first record.
    tail: Option<(File, usize)>,
    newest: Slot,
    checkpointed: u64,
    health: Health,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// Damage was found at open.
    Quarantined,
    /// A write failed: what is on disk is unknown.
    Poisoned,
}

/// What opening the journal brought.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The state.
    pub(crate) state: SmallState,
    /// Records folded.
    pub(crate) folded: u64,
    /// Bytes cut from a torn end.
    pub(crate) cut: u64,
    /// Damage, if any.
    pub(crate) damage: Option<Damage>,
}

impl Journal {
    /// Opens the journal in `folder`, which exists, and cuts a torn end.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Opened), StoreError> {
        let found = checkpoint::read(folder);
        let checkpointed = found.newest.as_ref().map_or(0, |checkpoint| checkpoint.frontier.size());
        let Replay { frontier, mut state, folded, tail, damage } = replay(folder, found.newest)?;
        let mut cut = 0;
        let mut writable = None;
        if damage.is_some() {
            if let Some(older) = &found.older {
                state.floors = state.floors.highest(&older.state.floors);
            }
        } else if let Some(tail) = tail {
            if let Some(end) = tail.torn {
                segment::cut(&tail.path, tail.offset, end)?;
                cut = (end - tail.offset) as u64;
            }
            writable = Some((segment::open(&tail.path)?, tail.offset));
        }
        let health = if damage.is_some() { Health::Quarantined } else { Health::Sound };
        let journal = Self {
            folder: folder.into(),
            random: SystemRandom::new(),
            frontier,
            tail: writable,
            newest: found.slot,
            checkpointed,
            health,
            buffer: Vec::new(),
        };
        Ok((journal, Opened { state, folded, cut, damage }))
    }

    /// Size and head of the tree.
    pub(crate) fn position(&self) -> JournalPosition {
        JournalPosition { size: self.frontier.size(), root: self.frontier.root() }
    }

    /// Refuses everything from now on: somebody knows of records that are not here.
    pub(crate) fn quarantine(&mut self) {
        self.health = Health::Quarantined;
    }

    /// Whether anything can be recorded at all.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.health {
            Health::Sound => Ok(()),
            Health::Quarantined => Err(StoreError::Quarantined { path: self.folder.clone() }),
            Health::Poisoned => Err(StoreError::Poisoned),
        }
    }

    /// Appends all of `records` or none, as one frame.
    ///
    /// # Durability
    /// All of them, when it returns `Ok`: one `O_DSYNC` write, and once a segment the begin of the next.
    pub(crate) fn append(&mut self, stamp: Stamp, records: &[Record]) -> Result<(), StoreError> {
        self.check()?;
        if records.is_empty() {
            return Ok(());
        }
        let frontier = self.encode(stamp, records)?;
        let urgent = records.iter().all(|record| matches!(record, Record::DiskFull { .. } | Record::Stopped { .. }));
        self.make_room(urgent)?;
        let Some((file, offset)) = &mut self.tail else { return Err(StoreError::Poisoned) };
        if let Err(source) = file.write_all_at(&self.buffer, *offset as u64) {
            // Some of it may be on disk. Only reading it back, at the next open, tells.
            self.health = Health::Poisoned;
            return Err(StoreError::file("write", &self.folder)(source));
        }
        *offset += self.buffer.len();
        self.frontier = frontier;
        Ok(())
    }

    /// Encodes a frame into the buffer; returns the tree's edge behind it.
    fn encode(&mut self, stamp: Stamp, records: &[Record]) -> Result<Frontier, StoreError> {
        let mut frontier = self.frontier.clone();
        let mut salts = vec![[0; SALT_LEN]; records.len()];
        // Without randomness there is no salt, and nothing is recorded.
        self.random.fill(salts.as_flattened_mut()).map_err(|_| StoreError::NoRandomness)?;
        let bodies: Vec<Vec<u8>> =
            records.iter().map(serde_json::to_vec).collect::<Result<_, _>>().map_err(|_| StoreError::Unwritable)?;
        let mut frame = Vec::with_capacity(records.len());
        for ((record, body), salt) in records.iter().zip(&bodies).zip(salts) {
            let entry = Entry {
                sequence: frontier.size(),
                wall: stamp.wall,
                clock: stamp.clock,
                kind: record.kind(),
                body: body_digest(&salt, body),
            };
            frontier.push(entry.leaf());
            frame.push(FrameRecord { entry, salt, body: Some(body) });
        }
        self.buffer.clear();
        frame::write(&frame, &mut self.buffer);
        if self.buffer.len() > MAX_FRAME {
            return Err(StoreError::TooLarge { found: self.buffer.len(), limit: MAX_FRAME });
        }
        Ok(frontier)
    }

    /// Sees to it that the frame in the buffer fits behind the tail. Nothing is acknowledged or lost if it does not.
    fn make_room(&mut self, urgent: bool) -> Result<(), StoreError> {
        let need = self.buffer.len();
        let reserved = segment::reserve(&self.folder);
        if let Some((_, offset)) = &self.tail {
            let kept_back = if reserved.is_ok() || urgent { 0 } else { KEPT_BACK };
            if offset + need + kept_back <= SEGMENT_LEN {
                return Ok(());
            }
        }
        reserved?;
        let header = Header { first: self.frontier.size(), root: self.frontier.root() };
        let begun = segment::begin(&self.folder, header);
        if matches!(begun, Err(StoreError::File { .. })) {
            self.health = Health::Poisoned;
        }
        self.tail = Some((begun?, HEADER_LEN));
        // The next reserve; without space for it the segment just begun keeps some back.
        let _ = segment::reserve(&self.folder);
        Ok(())
    }

    /// Writes a checkpoint of `state` if one is due or `wanted`. A failure costs replaying, nothing else.
    pub(crate) fn checkpoint(&mut self, state: &SmallState, wanted: bool) -> Result<(), StoreError> {
        let size = self.frontier.size();
        let due = size >= self.checkpointed + CHECKPOINT_EVERY || wanted && size > self.checkpointed;
        if !due || self.health != Health::Sound {
            return Ok(());
        }
        let slot = self.newest.other();
        let checkpoint = Checkpoint { frontier: self.frontier.clone(), state: state.clone() };
        checkpoint::write(&self.folder, slot, &checkpoint)?;
        if self.checkpointed == 0 {
            segment::sync_folder(&self.folder)?;
        }
        self.newest = slot;
        self.checkpointed = size;
        Ok(())
    }
}
