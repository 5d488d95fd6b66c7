//! What parent and child say to each other: tagged, length-prefixed frames with a limit for each kind.
//!
//! `tag: u8 ‖ length: u32 (little endian) ‖ payload`.

use std::io::{self, Read, Write};

use casemate_protocol::bundle::appraisal::Device;
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::floors::Floors;
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

/// A kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// Parent: [`Head`] as JSON.
    Head = 1,
    /// Parent: the stored root, raw.
    Root = 2,
    /// Parent: a cached role's name, a line end, its raw metadata.
    Cached = 3,
    /// Parent: the order is complete.
    Begin = 4,
    /// Parent: 8 bytes for each digest asked for, the length it is held with, little endian, or [`NOT_HELD`].
    Answer = 5,
    /// Child: name of a member whose content follows.
    Member = 16,
    /// Child: its content.
    Content = 17,
    /// Child: object ids, 32 bytes each; which of them are held?
    Ask = 18,
    /// Child: bytes done and bytes in all, 8 bytes each, little endian.
    Progress = 19,
    /// Child: [`Ending`] as JSON; nothing follows.
    Ended = 20,
    /// Child: at work where there is no progress to tell.
    Alive = 21,
}

impl Tag {
    const ALL: [Self; 11] = [
        Self::Head,
        Self::Root,
        Self::Cached,
        Self::Begin,
        Self::Answer,
        Self::Member,
        Self::Content,
        Self::Ask,
        Self::Progress,
        Self::Ended,
        Self::Alive,
    ];

    /// Longest payload, bytes.
    const fn limit(self) -> usize {
        match self {
            // A harvest's head lists every part wanted.
            Self::Head | Self::Root | Self::Cached | Self::Content => 64 << 20,
            Self::Begin | Self::Alive => 0,
            Self::Answer => ASKED_AT_ONCE * 8,
            Self::Member => 100,
            Self::Ask => ASKED_AT_ONCE * 32,
            Self::Progress => 16,
            Self::Ended => 16 << 10,
        }
    }
}

/// Digests in one [`Tag::Ask`].
pub(super) const ASKED_AT_ONCE: usize = 4096;

/// In a [`Tag::Answer`], of what is not held.
pub(super) const NOT_HELD: u64 = u64::MAX;

/// The length with which the digest asked for at `index` is held, if it is.
pub(super) fn held(answer: &[u8], index: usize) -> Option<u64> {
    let length = u64::from_le_bytes(*answer.as_chunks::<8>().0.get(index)?);
    Some(length).filter(|length| *length != NOT_HELD)
}

/// What the child is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum Task {
    Import,
    Survey,
    Harvest(Vec<HarvestPart>),
}

/// One place a part is wanted in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HarvestPart {
    pub(super) sha256: Digest,
    pub(super) length: u64,
    pub(super) object: Digest,
    pub(super) object_length: u64,
    pub(super) part: usize,
    pub(super) offset: u64,
}

/// The order, but for raw metadata.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) task: Task,
    pub(super) device: Device,
    pub(super) floors: Floors,
    pub(super) wall: UtcTime,
    pub(super) build: UtcTime,
    pub(super) offline_span_days: u64,
    pub(super) reserve: u64,
}

/// How the child ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum Ending {
    /// The task is done; a harvest says how many parts it found.
    Done { parts: usize },
    /// The bundle is refused.
    Refused { code: Code, text: String, input: Option<Digest> },
    /// Too little room.
    DiskFull { wanted: u64, free: u64 },
    /// Reading failed; the error number.
    InputFailed { errno: i32 },
    /// Writing failed; the error number.
    StagingFailed { errno: i32 },
}

/// Sends one frame.
pub(super) fn send(to: &mut impl Write, tag: Tag, payload: &[&[u8]]) -> io::Result<()> {
    let length: usize = payload.iter().map(|piece| piece.len()).sum();
    let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut head = [tag as u8, 0, 0, 0, 0];
    head[1..].copy_from_slice(&length.to_le_bytes());
    if length < 4096 {
        // One write, one wake-up of the other side.
        return to.write_all(&[&head, payload.concat().as_slice()].concat());
    }
    to.write_all(&head)?;
    payload.iter().try_for_each(|piece| to.write_all(piece))
}

/// The next frame; `None` where the other side is gone between two frames.
pub(super) fn receive(from: &mut impl Read) -> io::Result<Option<(Tag, Vec<u8>)>> {
    let mut head = [0; 5];
    // A signal ends a call with a time limit, also one that would begin again without; `read_exact` goes on by itself.
    let first = loop {
        match from.read(&mut head[..1]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    let tag = Tag::ALL.into_iter().find(|tag| *tag as u8 == head[0]).ok_or(io::ErrorKind::InvalidData)?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > tag.limit() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = Vec::new();
    // Grows with what really arrives: a length alone costs nothing.
    if from.take(length as u64).read_to_end(&mut payload)? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((tag, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_sent() {
        for size in [0, 1, 4095, 5000] {
            let mut wire = Vec::new();
            send(&mut wire, Tag::Content, &[&vec![7; size], b"x"]).unwrap();
            let (tag, payload) = receive(&mut wire.as_slice()).unwrap().unwrap();
            assert_eq!((tag, payload.len()), (Tag::Content, size + 1));
        }
        assert!(receive(&mut [].as_slice()).unwrap().is_none());
    }

    /// Every other call is interrupted.
    struct Interrupted<'a>(&'a [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(buffer) }
        }
    }

    #[test]
    fn signals_between_and_within_frames_change_nothing() {
        let mut wire = Vec::new();
        send(&mut wire, Tag::Content, &[b"whole"]).unwrap();
        let mut interrupted = Interrupted(&wire, false);
        assert_eq!(receive(&mut interrupted).unwrap(), Some((Tag::Content, b"whole".to_vec())));
        assert!(receive(&mut interrupted).unwrap().is_none());
    }

    #[test]
    fn frames_that_are_unknown_too_long_or_cut_are_refused() {
        for wire in [&[99, 0, 0, 0, 0][..], &[4, 1, 0, 0, 0, 0], &[16, 101, 0, 0, 0], &[17, 9, 0, 0, 0, 1], &[17, 9]] {
            assert!(receive(&mut &*wire).is_err(), "{wire:?}");
        }
    }
}
