//! Bringing the state back from the journal's files.

use std::path::{Path, PathBuf};

use casemate_protocol::evidence::merkle::Frontier;
use thiserror::Error;

use super::checkpoint::Checkpoint;
use super::segment::{self, HEADER_LEN, Header};
use crate::store::error::StoreError;
use crate::store::kept_floors::KeptFloors;
use crate::store::record::Record;
use crate::store::small_state::SmallState;
use casemate_protocol::evidence::frame::{self, ALIGNMENT, Found, Frame, FrameRecord};

/// What is wrong with the state; nothing was changed or cut.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// A segment does not begin as its name says, or does not follow from the one before it.
    #[error("segment {segment:016x} does not follow from what is before it")]
    Segment {
        /// Its first sequence, by name.
        segment: u64,
    },
    /// Bytes that are no frame, with valid frames behind them.
    #[error("segment {segment:016x} is damaged at byte {offset}, before valid records")]
    Frame {
        /// The segment's first sequence.
        segment: u64,
        /// Where in it.
        offset: usize,
    },
    /// A record that cannot be read, or comes out of order.
    #[error("record {sequence} cannot be read")]
    Record {
        /// Its sequence.
        sequence: u64,
    },
    /// Something else remembers more records than the journal holds.
    #[error("the journal holds {held} records, {known} were acknowledged")]
    Lost {
        /// Records held.
        held: u64,
        /// Records somebody remembers.
        known: u64,
    },
}

/// What replaying brought.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The tree over the valid prefix.
    pub(crate) frontier: Frontier,
    /// The state: after damage, the best there is, with the highest floors anything mentions.
    pub(crate) state: SmallState,
    /// Records folded, beyond the checkpoint.
    pub(crate) folded: u64,
    /// Where writing goes on; none while there is no segment.
    pub(crate) tail: Option<Tail>,
    /// What is wrong, if anything.
    pub(crate) damage: Option<Damage>,
}

/// The end of the journal.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The last segment.
    pub(crate) path: PathBuf,
    /// Where the next frame goes.
    pub(crate) offset: usize,
    /// Where torn bytes end, if there are any from `offset` on.
    pub(crate) torn: Option<usize>,
}

/// Folds the journal in `folder` onto `start`.
///
/// # Errors
/// A file cannot be read at all. Damage is a finding, not an error.
pub(crate) fn replay(folder: &Path, start: Option<Checkpoint>) -> Result<Replay, StoreError> {
    let segments = segment::list(folder)?;
    let begun = start.is_some();
    let Checkpoint { frontier, state } = start.unwrap_or_default();
    let known = frontier.size();
    let mut fold = Fold { known, next: known, replay: Replay { frontier, state, folded: 0, tail: None, damage: None } };
    let skipped = if begun { segments.iter().rposition(|(first, _)| *first <= known).unwrap_or(0) } else { 0 };
    if let Some((first, _)) = segments.get(skipped) {
        // What stands before the checkpoint in its segment is checked, not folded.
        fold.next = known.min(*first);
    }
    for (index, (first, path)) in segments.iter().enumerate().skip(skipped) {
        let bytes = std::fs::read(path).map_err(StoreError::file("read", path))?;
        let place = Place { segment: *first, is_last: index + 1 == segments.len() };
        let end = fold.segment(&bytes, place);
        fold.replay.tail = Some(Tail { path: path.clone(), offset: end.0, torn: end.1 });
    }
    if fold.next < known {
        fold.damaged(Damage::Lost { held: fold.next, known });
    }
    Ok(fold.replay)
}

#[derive(Clone, Copy)]
struct Place {
    segment: u64,
    is_last: bool,
}

struct Fold {
    /// Records the checkpoint covers.
    known: u64,
    /// The sequence expected next.
    next: u64,
    replay: Replay,
}

impl Fold {
    fn damaged(&mut self, damage: Damage) {
        self.replay.damage.get_or_insert(damage);
    }

    /// Folds one segment; returns where it ends and where its torn bytes end.
    fn segment(&mut self, bytes: &[u8], place: Place) -> (usize, Option<usize>) {
        let follows = Header::from_bytes(bytes).is_some_and(|header| {
            let same_tree = self.next != self.replay.frontier.size() || header.root == self.replay.frontier.root();
            header.first == place.segment && header.first == self.next && same_tree
        });
        if !follows {
            self.damaged(Damage::Segment { segment: place.segment });
        }
        let mut offset = HEADER_LEN.min(bytes.len());
        loop {
            let rest = &bytes[offset..];
            match frame::read(rest) {
                Found::Frame(frame) => {
                    self.frame(&frame);
                    offset = (offset + frame.padded).min(bytes.len());
                }
                Found::End => return (offset, None),
                Found::Invalid => {
                    let skip = ALIGNMENT.min(rest.len());
                    let Some((at, _)) = frame::find(&rest[skip..]) else {
                        if !place.is_last {
                            self.damaged(Damage::Frame { segment: place.segment, offset });
                        }
                        return (offset, rest.iter().rposition(|byte| *byte != 0).map(|last| offset + last + 1));
                    };
                    self.damaged(Damage::Frame { segment: place.segment, offset });
                    offset += skip + at;
                }
            }
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        for record in &frame.records {
            let sequence = record.entry.sequence;
            if sequence != self.next {
                self.damaged(Damage::Record { sequence });
            }
            self.next = sequence + 1;
            if sequence >= self.known {
                self.record(record);
            }
        }
    }

    fn record(&mut self, record: &FrameRecord<'_>) {
        let parsed =
            record.body.filter(|_| record.is_genuine()).and_then(|body| serde_json::from_slice::<Record>(body).ok());
        let Some(parsed) = parsed.filter(|parsed| parsed.kind() == record.entry.kind) else {
            self.damaged(Damage::Record { sequence: record.entry.sequence });
            return;
        };
        let before = self.replay.state.floors.clone();
        self.replay.state.apply(record.entry.wall, &parsed);
        if self.replay.damage.is_none() {
            self.replay.frontier.push(record.leaf());
            self.replay.folded += 1;
        } else {
            // With a gap before this record nobody knows what a lower floor in it means: the highest holds.
            self.raise(&before);
        }
    }

    fn raise(&mut self, floors: &KeptFloors) {
        let state = &mut self.replay.state;
        state.floors = state.floors.highest(floors);
    }
}
