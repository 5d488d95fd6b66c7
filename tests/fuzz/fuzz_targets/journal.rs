//! Journal frames: whatever stands in a segment, reading it ends, without panic and within it; what is read as a frame
//! is spelled in one way only.
//!
//! The bytes are read as they are, and once more dressed up as a frame with a right checksum, so that the search gets
//! past it.
#![no_main]

use casemate_protocol::evidence::crc::crc32c;
use casemate_protocol::evidence::frame::{self, ALIGNMENT, Found, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    walk(data);
    if data.len() >= 4 {
        let mut dressed = Vec::with_capacity(data.len() + 12);
        dressed.extend_from_slice(&[0xf5, b'C', b'J', 1]);
        let length = u32::try_from(data.len() + 12).expect("inputs are small");
        dressed.extend_from_slice(&length.to_le_bytes());
        dressed.extend_from_slice(&crc32c(&[&dressed, data]).to_le_bytes());
        dressed.extend_from_slice(data);
        walk(&dressed);
    }
});

/// Reads a segment as the journal does.
fn walk(bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match frame::read(rest) {
            Found::Frame(frame) => {
                check(rest, &frame);
                at += frame.padded;
            }
            Found::End => {
                assert!(rest.iter().all(|byte| *byte == 0));
                return;
            }
            Found::Invalid => {
                let skip = ALIGNMENT.min(rest.len());
                let Some((further, frame)) = frame::find(&rest[skip..]) else { return };
                check(&rest[skip + further..], &frame);
                at += skip + further;
            }
        }
    }
}

fn check(bytes: &[u8], frame: &Frame<'_>) {
    assert!(!frame.records.is_empty() && frame.padded.is_multiple_of(ALIGNMENT));
    let mut again = Vec::new();
    frame::write(&frame.records, &mut again);
    assert_eq!(again.len(), frame.padded);
    let length = u32::from_le_bytes(again[4..8].try_into().expect("four bytes")) as usize;
    assert_eq!(again[..length], bytes[..length], "a frame has one spelling");
    let _ = frame.records.iter().filter(|record| record.is_genuine()).map(frame::FrameRecord::leaf).count();
}
