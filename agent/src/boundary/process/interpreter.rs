//! What the kernel and the loader open to start this program again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Error, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest path of a loader, bytes: the kernel's own limit.
const MAX_PATH: u64 = 4096;
/// Program headers of an honest program: some twelve.
const MAX_HEADERS: u16 = 128;
/// Type of the program header that names the loader (ELF, `PT_INTERP`).
const INTERPRETER: u32 = 3;

/// The loader that the 64-bit little-endian ELF program `file` names; `None` if it is linked statically.
pub(super) fn interpreter(file: &File) -> io::Result<Option<PathBuf>> {
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    if header[..6] != *b"\x7fELF\x02\x01" {
        return Err(Error::new(ErrorKind::InvalidData, "not a 64-bit little-endian ELF file"));
    }
    let (start, size, count) = (long(&header, 0x20), u64::from(short(&header, 0x36)), short(&header, 0x38));
    for index in 0..count.min(MAX_HEADERS) {
        let mut entry = [0; 56];
        file.read_exact_at(&mut entry, start.saturating_add(u64::from(index) * size))?;
        if u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) == INTERPRETER {
            let length = usize::try_from(long(&entry, 0x20).min(MAX_PATH)).unwrap_or(0);
            let mut name = vec![0; length];
            file.read_exact_at(&mut name, long(&entry, 8))?;
            name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(length));
            return Ok(Some(OsString::from_vec(name).into()));
        }
    }
    Ok(None)
}

/// The folders of the libraries this program was started with.
pub(super) fn library_folders() -> io::Result<BTreeSet<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let own = fs::read_link("/proc/self/exe")?;
    let files = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    Ok(files.filter(|file| *file != own).filter_map(Path::parent).map(Path::to_path_buf).collect())
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn short(bytes: &[u8], at: usize) -> u16 {
    bytes[at..].first_chunk().map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_loader_of_this_very_program_is_the_one_that_is_mapped() {
        let loader = interpreter(&File::open("/proc/self/exe").unwrap()).unwrap().unwrap();
        let mapped = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(mapped.contains(fs::canonicalize(&loader).unwrap().to_str().unwrap()), "{loader:?}");
        let folders = library_folders().unwrap();
        assert!(folders.contains(fs::canonicalize(&loader).unwrap().parent().unwrap()), "{folders:?}");
    }

    #[test]
    fn what_is_no_program_or_breaks_off_is_an_error() {
        let whole = fs::read("/proc/self/exe").unwrap();
        let mut wild = whole[..64].to_vec();
        wild[0x20..0x28].fill(0xff);
        for bytes in [&b"#!/bin/sh"[..], &[0; 200], &whole[..63], &whole[..100], &wild] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            assert!(interpreter(&file).is_err());
        }
    }
}
