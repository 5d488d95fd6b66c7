//! Segments: files of one size, zero-filled before use.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use casemate_protocol::digest::Digest;
use nix::fcntl::OFlag;

use crate::store::error::StoreError;
use casemate_protocol::evidence::crc::crc32c;

/// Bytes of a segment.
pub(crate) const SEGMENT_LEN: usize = 1024 * 1024;
/// Bytes of a segment's header; frames start behind it.
pub(crate) const HEADER_LEN: usize = 64;
const MAGIC: &[u8; 16] = b"CASEMATE JOURNAL";
const FORMAT: u32 = 1;
/// Zeros written at once: a part of a segment. The allocator keeps for ever what was once asked for in one piece and given
/// back, up to 32 MiB of it.
const ZEROS: usize = 64 * 1024;
const SPARE: &str = "spare";

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Sequence of its first entry: the tree's size when it was begun.
    pub(crate) first: u64,
    /// The tree's head then.
    pub(crate) root: Digest,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..16].copy_from_slice(MAGIC);
        out[16..20].copy_from_slice(&FORMAT.to_le_bytes());
        out[24..32].copy_from_slice(&self.first.to_le_bytes());
        out[32..].copy_from_slice(self.root.as_bytes());
        let crc = crc32c(&[&out[..20], &out[24..]]);
        out[20..24].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_LEN)?;
        let first = u64::from_le_bytes(bytes[24..32].try_into().ok()?);
        let root = Digest::from_bytes(bytes[32..].try_into().ok()?);
        let header = Self { first, root };
        (header.to_bytes() == bytes).then_some(header)
    }
}

/// The segments in order, by the sequence their names state.
pub(crate) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::file("read", folder))? {
        let path = entry.map_err(StoreError::file("read", folder))?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == "journal");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_segment && stem.len() == 16);
        if let Some(first) = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Opens a segment for durable writes: each returns when its bytes are on the medium.
pub(crate) fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OFlag::O_DSYNC.bits());
    options.open(path).map_err(StoreError::file("open", path))
}

/// Writes the next segment full of zeros ahead of its need: the space a full disk cannot take away any more.
///
/// # Durability
/// The zeros are on the medium when it returns, so that later writes into them move no metadata.
pub(crate) fn reserve(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(SPARE);
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == SEGMENT_LEN as u64) {
        return Ok(());
    }
    let fill = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let zeros = vec![0; ZEROS];
        (0..SEGMENT_LEN / ZEROS).try_for_each(|_| file.write_all(&zeros))?;
        file.sync_all()
    };
    fill().map_err(|source| {
        // A partial reserve is none, and its blocks may be what somebody else needs now.
        let _ = fs::remove_file(&path);
        match StoreError::file("write", &path)(source) {
            StoreError::DiskFull { path, .. } => StoreError::DiskFull { path, wanted: SEGMENT_LEN as u64 },
            other => other,
        }
    })
}

/// Turns the reserve into the segment that begins with `header`.
///
/// # Durability
/// The segment is in the folder with its header, or not at all, when it returns.
pub(crate) fn begin(folder: &Path, header: Header) -> Result<File, StoreError> {
    let (spare, path) = (folder.join(SPARE), folder.join(format!("{:016x}.journal", header.first)));
    let file = open(&spare)?;
    file.write_all_at(&header.to_bytes(), 0).map_err(StoreError::file("write", &spare))?;
    fs::rename(&spare, &path).map_err(StoreError::file("rename", &spare))?;
    sync_folder(folder)?;
    Ok(file)
}

/// Overwrites a torn end with zeros, so that no byte of it can ever look like something.
pub(crate) fn cut(path: &Path, from: usize, to: usize) -> Result<(), StoreError> {
    let zeros = vec![0; to.saturating_sub(from)];
    open(path)?.write_all_at(&zeros, from as u64).map_err(StoreError::file("write", path))
}

/// Makes names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::file("sync", folder))
}
