//! The 512 bytes before every member.

use super::error::{ArchiveError, Field};
use super::member::{MAX_NAME, Member, MemberKind};

/// Bytes in a block; headers and contents fill whole ones.
pub const BLOCK: usize = 512;

/// The largest length eleven octal digits hold, bytes.
const MAX_LENGTH: u64 = (1 << 33) - 1;

const NAME: std::ops::Range<usize> = 0..100;
const LENGTH: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;

/// The fields that are the same in every header: where, what they are called, what they hold.
const FIXED: [(usize, &str, &[u8]); 11] = [
    (100, "mode", b"0000644\0"),
    (108, "uid", b"0000000\0"),
    (116, "gid", b"0000000\0"),
    (136, "mtime", b"00000000000\0"),
    (157, "linkname", &[0; 100]),
    (257, "magic", b"ustar\x0000"),
    (265, "uname", &[0; 32]),
    (297, "gname", &[0; 32]),
    (329, "devmajor", b"0000000\0"),
    (337, "devminor", b"0000000\0"),
    (345, "prefix", &[0; 167]),
];

/// The header of `member`: its only one. `None` if the name or the length does not fit its field.
pub(super) fn encode(member: &Member) -> Option<[u8; BLOCK]> {
    let name = member.kind.to_string();
    if name.len() > MAX_NAME || member.length > MAX_LENGTH {
        return None;
    }
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[LENGTH].copy_from_slice(format!("{:011o}\0", member.length).as_bytes());
    block[TYPE] = b'0';
    for (start, _, bytes) in FIXED {
        block[start..start + bytes.len()].copy_from_slice(bytes);
    }
    let sum = checksum(&block);
    block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(block)
}

/// The sum of the header's bytes, the checksum's own counted as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let counted = |(index, byte): (usize, &u8)| if CHECKSUM.contains(&index) { 32 } else { u32::from(*byte) };
    block.iter().enumerate().map(counted).sum()
}

/// The member `block` announces. `offset` is where the block starts, for messages.
///
/// The name and the length are taken out, the header they should have is made anew, and all 512 bytes must be equal:
/// there is no tolerant path. Only then does the first differing field get a name.
pub(super) fn decode(block: &[u8; BLOCK], offset: u64) -> Result<Member, ArchiveError> {
    let refuse = |field| ArchiveError::Header { offset, field };
    if offset == 0 && !block[257..].starts_with(b"ustar") {
        return Err(refuse(Field::Foreign));
    }
    if block[TYPE] != b'0' {
        return Err(refuse(Field::Type(block[TYPE])));
    }
    let end = block[NAME].iter().position(|byte| *byte == 0).unwrap_or(MAX_NAME);
    let name = std::str::from_utf8(&block[..end]).map_err(|_| refuse(Field::Name))?;
    if block[end..MAX_NAME].iter().any(|byte| *byte != 0) {
        return Err(refuse(Field::Name));
    }
    let length = length(&block[LENGTH]).ok_or_else(|| refuse(Field::Length))?;
    let kind: MemberKind = name.parse().map_err(|name| ArchiveError::Name { offset, name })?;
    let member = Member { kind, length };
    if encode(&member).as_ref() != Some(block) {
        return Err(refuse(first_difference(block)));
    }
    if member.length == 0 { Err(ArchiveError::Empty { offset }) } else { Ok(member) }
}

fn length(field: &[u8]) -> Option<u64> {
    let (zero, digits) = field.split_last()?;
    let octal = *zero == 0 && digits.iter().all(|byte| matches!(byte, b'0'..=b'7'));
    octal.then(|| digits.iter().fold(0, |sum, byte| sum * 8 + u64::from(byte - b'0')))
}

/// The field that makes a header differ from the expected one, given that name, length and type are fine.
fn first_difference(block: &[u8; BLOCK]) -> Field {
    FIXED
        .iter()
        .find(|(start, _, bytes)| block[*start..start + bytes.len()] != **bytes)
        .map_or(Field::Checksum, |(_, name, _)| Field::Fixed(name))
}
