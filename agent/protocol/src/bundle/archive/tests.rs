use proptest::prelude::*;

use super::*;
use crate::code::{Code, Explain};
use crate::digest::Digest;
use crate::tuf::role::{RoleName, Version};

fn metadata(version: u64, role: &str) -> MemberKind {
    MemberKind::Metadata { role: RoleName::strict(role).unwrap(), version: Version::new(version).unwrap() }
}

fn object(content: &[u8]) -> MemberKind {
    MemberKind::Object { digest: Digest::of(content) }
}

fn small() -> Vec<u8> {
    let mut archive = Vec::new();
    Writer::append(&mut archive, &metadata(1, "root"), b"{}").unwrap();
    Writer::append(&mut archive, &MemberKind::Presumes, &[b'p'; 512]).unwrap();
    Writer::append(&mut archive, &object(b"content"), b"content").unwrap();
    archive.extend_from_slice(Writer::end());
    archive
}

/// Everything the reader says about `archive`, fed in pieces of `step` bytes, as text.
fn read(archive: &[u8], step: usize) -> Result<Vec<String>, ArchiveError> {
    let mut reader = Reader::new();
    let mut said: Vec<String> = Vec::new();
    let mut content = Vec::new();
    for mut piece in archive.chunks(step) {
        while let Some(event) = reader.read(&mut piece)? {
            match event {
                Event::Member(member) => said.push(format!("{} {}", member.kind, member.length)),
                Event::Data(bytes) => content.extend_from_slice(bytes),
                Event::MemberEnd => said.push(format!("= {}", Digest::of(&std::mem::take(&mut content)))),
                Event::End => said.push("end".into()),
            }
        }
    }
    reader.finish().map(|()| said)
}

/// A header whose bytes `from..` are replaced and whose checksum is right again.
fn forged(from: usize, bytes: &[u8]) -> Vec<u8> {
    let mut archive = small();
    archive[from..from + bytes.len()].copy_from_slice(bytes);
    archive[148..156].copy_from_slice(b"        ");
    let sum: u32 = archive[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive
}

#[test]
fn what_is_written_is_read_whatever_the_size_of_the_pieces() {
    let whole = read(&small(), usize::MAX).unwrap();
    assert_eq!(whole.len(), 7);
    assert_eq!(whole[0], "metadata/1.root.json 2");
    for step in [1, 7, 511, 512, 513, 1024] {
        assert_eq!(read(&small(), step).unwrap(), whole, "{step}");
    }
}

#[test]
fn content_that_went_by_unseen_counts() {
    let archive = small();
    let mut reader = Reader::new();
    let mut input = &archive[..];
    assert!(matches!(reader.read(&mut input), Ok(Some(Event::Member(_)))));
    assert_eq!(reader.content_left(), 2);
    reader.passed(99);
    assert_eq!((reader.content_left(), reader.offset()), (0, 514));
    let mut rest = &archive[514..];
    assert_eq!(reader.read(&mut rest), Ok(Some(Event::MemberEnd)));
}

#[test]
fn links_devices_and_extensions_are_refused_by_name() {
    for (flag, words) in [
        (b'1', "hard link"),
        (b'2', "symbolic link"),
        (b'3', "character device"),
        (b'4', "block device"),
        (b'5', "folder"),
        (b'6', "fifo"),
        (b'7', "contiguous"),
        (b'S', "sparse"),
        (b'x', "pax"),
        (b'g', "pax"),
        (b'L', "GNU long name"),
        (b'K', "GNU long name"),
        (0, "old-style"),
        (b'Z', "unknown"),
    ] {
        let error = read(&forged(156, &[flag]), 512).unwrap_err();
        assert_eq!(error, ArchiveError::Header { offset: 0, field: Field::Type(flag) });
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.code(), Code::ArchiveMalformed);
    }
}

#[test]
fn names_that_are_not_ours_are_refused() {
    for name in [
        "/etc/passwd",
        "../metadata/1.root.json",
        "metadata/../1.root.json",
        "metadata/01.root.json",
        "metadata/+1.root.json",
        "metadata/0.root.json",
        "metadata/9223372036854775808.root.json",
        "metadata/1.Root.json",
        "metadata/1.a/b.json",
        "metadata/1..json",
        "./presumes.json",
        "presumes.json/",
        "objects/ABCDEF",
        "objects/",
        "",
    ] {
        let mut field = [0; 100];
        field[..name.len()].copy_from_slice(name.as_bytes());
        assert!(matches!(read(&forged(0, &field), 512), Err(ArchiveError::Name { offset: 0, .. })), "{name}");
    }
    let shouted = Digest::of(b"x").to_string().to_uppercase();
    assert!(format!("objects/{shouted}").parse::<MemberKind>().is_err());
    assert!(format!("metadata/1.{}.json", "a".repeat(90)).parse::<MemberKind>().is_err());
}

#[test]
fn a_name_has_no_bytes_after_its_end_and_is_text() {
    for bytes in [&b"metadata/1.root.json\0x"[..], b"\xff\xfe"] {
        let error = read(&forged(0, bytes), 512).unwrap_err();
        assert_eq!(error, ArchiveError::Header { offset: 0, field: Field::Name });
    }
}

#[test]
fn a_length_has_one_spelling() {
    let negative = [0xff; 12];
    let mut base_256 = [0; 12];
    base_256[0] = 0x80;
    base_256[11] = 2;
    for bytes in [
        &base_256[..],
        &negative,
        b"          2\0",
        b"00000000002 ",
        b"00000000008\0",
        b"-0000000002\0",
        b"+0000000002\0",
        b"0000000002\0\0",
    ] {
        let error = read(&forged(124, bytes), 512).unwrap_err();
        assert_eq!(error, ArchiveError::Header { offset: 0, field: Field::Length }, "{bytes:?}");
    }
}

#[test]
fn a_member_without_content_is_refused() {
    assert_eq!(read(&forged(124, b"00000000000\0"), 512), Err(ArchiveError::Empty { offset: 0 }));
    assert!(matches!(Writer::header(&MemberKind::Presumes, 0), Err(WriterError::Empty { .. })));
    assert!(matches!(Writer::header(&MemberKind::Presumes, 1 << 33), Err(WriterError::TooLarge { .. })));
}

#[test]
fn every_other_field_is_fixed() {
    for (at, byte, field) in [
        (106, b'7', "mode"),
        (114, b'1', "uid"),
        (122, b'1', "gid"),
        (146, b'1', "mtime"),
        (157, b'a', "linkname"),
        (262, b' ', "magic"),
        (263, b' ', "magic"),
        (265, b'r', "uname"),
        (297, b'r', "gname"),
        (329, 0, "devmajor"),
        (337, 0, "devminor"),
        (345, b'a', "prefix"),
        (511, 1, "prefix"),
    ] {
        let error = read(&forged(at, &[byte]), 512).unwrap_err();
        assert_eq!(error, ArchiveError::Header { offset: 0, field: Field::Fixed(field) }, "{at}");
    }
}

#[test]
fn a_file_that_is_no_archive_is_told_so_and_not_taken_for_a_strange_one() {
    let text = "[server]\nname = \"chat.example\"\n".repeat(40);
    let error = read(text.as_bytes(), 512).unwrap_err();
    assert_eq!(error, ArchiveError::Header { offset: 0, field: Field::Foreign });
}

#[test]
fn a_checksum_is_right_and_has_one_spelling() {
    let archive = small();
    let digits = archive[148..154].to_vec();
    for (from, bytes) in [(153, vec![digits[5] ^ 1]), (154, b" \0".to_vec()), (148, b" ".to_vec())] {
        let mut archive = archive.clone();
        archive[from..from + bytes.len()].copy_from_slice(&bytes);
        let error = read(&archive, 512).unwrap_err();
        assert_eq!(error, ArchiveError::Header { offset: 0, field: Field::Checksum });
    }
}

#[test]
fn padding_is_zero() {
    let mut archive = small();
    archive[600] = 1;
    assert_eq!(read(&archive, 512), Err(ArchiveError::Padding { offset: 600 }));
    assert_eq!(read(&archive, 3), Err(ArchiveError::Padding { offset: 600 }));
}

#[test]
fn the_end_mark_is_two_zero_blocks_and_the_end() {
    let archive = small();
    let mut one = archive.clone();
    let last = one.len() - 5;
    one[last] = 1;
    assert!(matches!(read(&one, 512), Err(ArchiveError::EndMark { .. })));
    for more in [&[0][..], &[0; 512], b"x", &small()] {
        let error = read(&[&archive, more].concat(), 512).unwrap_err();
        assert_eq!(error, ArchiveError::Trailing { offset: archive.len() as u64 });
        assert_eq!(error.code(), Code::ArchiveTrailing);
    }
}

#[test]
fn an_archive_cut_anywhere_is_truncated() {
    let archive = small();
    for length in 0..archive.len() {
        let error = read(&archive[..length], 512).unwrap_err();
        assert!(
            matches!(error, ArchiveError::Truncated { offset, .. } if offset == length as u64),
            "{length}: {error}"
        );
        assert_eq!(error.code(), Code::ArchiveTruncated);
    }
}

#[test]
fn one_changed_bit_outside_the_contents_is_always_an_error() {
    let archive = small();
    let headers = [0..512, 1024..1536, 2048..2560];
    for index in (0..archive.len()).filter(|index| headers.iter().any(|range| range.contains(index))) {
        for bit in 0..8 {
            let mut changed = archive.clone();
            changed[index] ^= 1 << bit;
            assert!(read(&changed, 512).is_err(), "byte {index} bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn no_input_makes_the_reader_panic_or_take_more_than_it_was_given(
        bytes in proptest::collection::vec(any::<u8>(), 0..2048), step in 1usize..600
    ) {
        let _ = read(&bytes, step);
    }
}
