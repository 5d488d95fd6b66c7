//! Writes a bundle's file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::archive::{Writer, WriterError};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::{Digest, Hasher};
use thiserror::Error;

use super::contents::Contents;
use crate::file::{self, FileError};
use crate::output::bytes;
use crate::site::folder::BLOCK;

/// Why a bundle was not written.
#[derive(Debug, Error)]
pub(crate) enum ArchiveError {
    /// A file cannot be read or written.
    #[error("the bundle cannot be written")]
    File(#[from] FileError),
    /// A member does not fit.
    #[error("the bundle cannot be written")]
    Member(#[from] WriterError),
    /// The disk is too small.
    #[error("{} has {} free, the bundle needs {}", folder.display(), bytes(*free), bytes(*needed))]
    Space {
        /// Where.
        folder: PathBuf,
        /// Bytes there.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
}

impl Explain for ArchiveError {
    fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::Member(error) => error.code(),
            Self::Space { .. } => Code::DiskFull,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::File(error) => error.remedy(),
            Self::Space { folder, free, needed } => {
                format!("Free {} in {}; nothing was written.", bytes(needed - free), folder.display())
            }
            other @ Self::Member(_) => other.code().remedy().into(),
        }
    }
}

/// A written bundle.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Where.
    pub(crate) path: PathBuf,
    /// SHA-256 of the file.
    pub(crate) digest: Digest,
    /// Its length, bytes.
    pub(crate) length: u64,
}

/// Writes `contents` into `folder` as `<timestamp version>-<8 hex of its SHA-256>.casemate`; whoever watches the folder
/// sees the whole file or none.
///
/// # Errors
/// There is too little space, or reading or writing fails.
///
/// # Durability
/// The file and its name are on disk when this returns.
pub(crate) fn write(contents: &Contents, folder: &Path, seen: &mut dyn FnMut(u64)) -> Result<Written, ArchiveError> {
    file::create_folder(folder)?;
    let needed = contents.length();
    let free = free_space(folder)?;
    if free < needed {
        return Err(ArchiveError::Space { folder: folder.to_owned(), free, needed });
    }
    let temporary = folder.join(format!(".{}.{}.part", contents.version, std::process::id()));
    let written = write_members(contents, &temporary, seen);
    let digest = written.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })?;
    let name: String = digest.to_string().chars().take(8).collect();
    let path = folder.join(format!("{}-{name}.casemate", contents.version));
    fs::rename(&temporary, &path).map_err(FileError::write(&path))?;
    file::sync_folder_of(&path)?;
    Ok(Written { path, digest, length: needed })
}

fn write_members(contents: &Contents, path: &Path, seen: &mut dyn FnMut(u64)) -> Result<Digest, ArchiveError> {
    let failed = FileError::write;
    let file = File::create(path).map_err(failed(path))?;
    let mut out = Hashing { inner: BufWriter::with_capacity(BLOCK, file), hasher: Hasher::new() };
    copy_members(contents, &mut out, path, seen)?;
    let Hashing { inner, hasher } = out;
    let file = inner.into_inner().map_err(|error| failed(path)(error.into_error()))?;
    file.sync_all().map_err(failed(path))?;
    Ok(hasher.finish())
}

/// Appends the bytes of the bundle to `out`.
///
/// # Errors
/// Reading fails.
pub(crate) fn write_to(contents: &Contents, out: &mut Vec<u8>) -> Result<(), ArchiveError> {
    copy_members(contents, out, Path::new("memory"), &mut |_| {})
}

/// Writes every member to `out`, which errors call `path`.
fn copy_members(
    contents: &Contents,
    out: &mut impl Write,
    path: &Path,
    seen: &mut dyn FnMut(u64),
) -> Result<(), ArchiveError> {
    let failed = FileError::write;
    for member in &contents.members {
        let length = member.source.length();
        out.write_all(&Writer::header(&member.kind, length)?).map_err(failed(path))?;
        let copied = member.source.stream(&mut |block| {
            seen(block.len() as u64);
            out.write_all(block)
        });
        copied.map_err(failed(path))?;
        out.write_all(Writer::padding(length)).map_err(failed(path))?;
    }
    out.write_all(Writer::end()).map_err(failed(path))?;
    Ok(())
}

struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(block)?;
        self.hasher.update(&block[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn free_space(folder: &Path) -> Result<u64, FileError> {
    let stat = nix::sys::statvfs::statvfs(folder).map_err(|errno| FileError::write(folder)(errno.into()))?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}
