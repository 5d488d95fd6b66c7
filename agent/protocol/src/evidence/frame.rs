//! The journal's frames: one transaction each.
//!
//! ```text
//! frame     = magic (4) length (4) crc32c (4) count (4) record{count} padding to 16
//! record    = entry header (24) body digest (32) salt (16) body length (4) body
//! ```
//!
//! All numbers are little-endian. `length` covers the frame without padding, `crc32c` all of it but itself. A body
//! length of 2^32 − 1 says that the body was pruned. The magic holds a byte that no JSON text contains, so that a body
//! can never pass for a frame.
//!
//! They stand here and not beside the journal's files because whoever audits a journal reads them too.

use super::merkle::{ENTRY_LEN, Entry, HEADER_LEN, SALT_LEN};
use crate::digest::Digest;

use super::crc::crc32c;

/// Starts every frame. 0xf5 stands in no UTF-8 text.
const MAGIC: [u8; 4] = [0xf5, b'C', b'J', 1];
const FRAME_HEADER: usize = 16;
const RECORD_HEADER: usize = ENTRY_LEN + SALT_LEN + 4;
/// Frames start at multiples of this, bytes.
pub const ALIGNMENT: usize = 16;
/// Longest frame, bytes: half a segment, so that no segment is ever more than half empty.
pub const MAX_FRAME: usize = 512 * 1024;
/// In place of a body's length: the body was pruned, the entry stays.
const PRUNED: u32 = u32::MAX;

/// One record of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRecord<'a> {
    /// Its entry.
    pub entry: Entry,
    /// Its salt; meaningless without a body.
    pub salt: [u8; SALT_LEN],
    /// Its body, unless it was pruned.
    pub body: Option<&'a [u8]>,
}

/// A frame as it stands in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its records, at least one.
    pub records: Vec<FrameRecord<'a>>,
    /// Where the next frame starts, relative to this one.
    pub padded: usize,
}

/// What stands at a place in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A valid frame.
    Frame(Frame<'a>),
    /// Zeros to the end: nothing was written here yet.
    End,
    /// Neither.
    Invalid,
}

/// Appends a frame to `out`, padded; `out` is aligned if it was before.
pub fn write(records: &[FrameRecord<'_>], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; FRAME_HEADER - MAGIC.len()]);
    for record in records {
        out.extend_from_slice(&record.entry.to_bytes());
        out.extend_from_slice(&record.salt);
        let length = record.body.map_or(PRUNED, |body| number(body.len()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(record.body.unwrap_or_default());
    }
    let length = number(out.len() - start);
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    out[start + 12..start + 16].copy_from_slice(&number(records.len()).to_le_bytes());
    let crc = crc32c(&[&out[start..start + 8], &out[start + 12..]]);
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + (out.len() - start).next_multiple_of(ALIGNMENT), 0);
}

fn number(length: usize) -> u32 {
    // Callers keep frames under MAX_FRAME; a longer one would fail its own check when read back.
    u32::try_from(length).unwrap_or(PRUNED)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// What stands at the start of `bytes`, which reach to the end of the segment.
#[must_use]
pub fn read(bytes: &[u8]) -> Found<'_> {
    match parse(bytes) {
        Some(frame) => Found::Frame(frame),
        None if is_zero(bytes) => Found::End,
        None => Found::Invalid,
    }
}

/// Compares whole pages: most of a segment is zeros when it is read.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

/// The first valid frame at an aligned place in `bytes`, whose start is aligned, and that place.
#[must_use]
pub fn find(bytes: &[u8]) -> Option<(usize, Frame<'_>)> {
    (0..bytes.len()).step_by(ALIGNMENT).find_map(|at| parse(&bytes[at..]).map(|frame| (at, frame)))
}

fn parse(bytes: &[u8]) -> Option<Frame<'_>> {
    if !bytes.starts_with(&MAGIC) {
        return None;
    }
    let length = word(bytes, 4)? as usize;
    if !(FRAME_HEADER..=MAX_FRAME).contains(&length) {
        return None;
    }
    let frame = bytes.get(..length)?;
    if word(frame, 8)? != crc32c(&[&frame[..8], &frame[12..]]) {
        return None;
    }
    let count = word(frame, 12)? as usize;
    let mut rest = &frame[FRAME_HEADER..];
    let mut records = Vec::with_capacity(count.min(rest.len() / RECORD_HEADER));
    while !rest.is_empty() {
        let (header, after) = rest.split_at_checked(RECORD_HEADER)?;
        let length = word(header, RECORD_HEADER - 4)?;
        let held = if length == PRUNED { 0 } else { length as usize };
        let (body, after) = after.split_at_checked(held)?;
        let entry = Entry::from_bytes(header[..ENTRY_LEN].try_into().ok()?)?;
        let salt = header[ENTRY_LEN..ENTRY_LEN + SALT_LEN].try_into().ok()?;
        records.push(FrameRecord { entry, salt, body: (length != PRUNED).then_some(body) });
        rest = after;
    }
    let whole = count > 0 && records.len() == count;
    whole.then(|| Frame { records, padded: length.next_multiple_of(ALIGNMENT) })
}

impl FrameRecord<'_> {
    /// Whether the body, if it is still here, is the one the entry commits to.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.body.is_none_or(|body| super::merkle::body_digest(&self.salt, body) == self.entry.body)
    }

    /// The entry's leaf.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        self.entry.leaf()
    }
}

const _: () = assert!(HEADER_LEN < ENTRY_LEN && FRAME_HEADER.is_multiple_of(ALIGNMENT));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::merkle::body_digest;
    use crate::evidence::receipt::ClockQuality;
    use crate::tuf::time::UtcTime;

    fn record(sequence: u64, body: &[u8]) -> FrameRecord<'_> {
        let salt = [7; SALT_LEN];
        let entry = Entry {
            sequence,
            wall: UtcTime::from_unix(1_795_311_555),
            clock: ClockQuality::Plausible,
            kind: 1,
            body: body_digest(&salt, body),
        };
        FrameRecord { entry, salt, body: Some(body) }
    }

    #[test]
    fn what_is_written_is_read_and_zeros_are_the_end() {
        let records = [record(0, b"{}"), record(1, b""), FrameRecord { body: None, ..record(2, b"gone") }];
        let mut bytes = Vec::new();
        write(&records, &mut bytes);
        let padded = bytes.len();
        bytes.resize(4096, 0);
        assert_eq!(read(&bytes), Found::Frame(Frame { records: records.to_vec(), padded }));
        assert_eq!(read(&bytes[padded..]), Found::End);
        assert_eq!(read(&[]), Found::End);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_makes_a_frame_invalid() {
        let mut bytes = Vec::new();
        write(&[record(0, b"{\"record\":\"started\"}"), record(1, b"x")], &mut bytes);
        let length = word(&bytes, 4).unwrap() as usize;
        for bit in 0..length * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&other), Found::Invalid, "bit {bit}");
        }
        for cut in 1..length {
            assert_eq!(read(&bytes[..cut]), Found::Invalid, "cut at {cut}");
        }
    }

    #[test]
    fn a_valid_frame_behind_rubbish_is_found() {
        let mut bytes = vec![0x5a; 160];
        write(&[record(9, b"later")], &mut bytes);
        let (at, frame) = find(&bytes).unwrap();
        assert_eq!((at, frame.records[0].entry.sequence), (160, 9));
        assert_eq!(find(&bytes[16..150]), None);
    }
}
