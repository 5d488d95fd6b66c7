//! Chunks on disk: one file an announcement, named by its digest, as long as the bundle from the start.
//!
//! Nothing is flushed: what a power cut leaves is hashed before it is believed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use casemate_protocol::broker::Chunked;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use thiserror::Error;

use crate::transport::space::{Claim, claim};

/// The file that names bundles done with, one digest a line.
const HAD: &str = "had";
/// Longest such file that is read, bytes.
const MAX_HAD: u64 = 64 * 1024;

/// Why chunks cannot be kept.
#[derive(Debug, Error)]
pub(super) enum SpoolError {
    /// The disk fails.
    #[error("cannot keep chunks in {path}")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk is full, or would be.
    #[error("{wanted} bytes are needed in {path}, {free} are free above the reserve")]
    Full {
        /// Where.
        path: PathBuf,
        /// Bytes needed.
        wanted: u64,
        /// Bytes there are.
        free: u64,
    },
}

impl Explain for SpoolError {
    fn code(&self) -> Code {
        match self {
            Self::Full { .. } => Code::DiskFull,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
                _ => Code::StateUnavailable,
            },
        }
    }
}

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    reserve: u64,
}

/// A bundle's file.
#[derive(Debug)]
pub(super) struct Spooled {
    file: File,
    path: PathBuf,
    /// Nothing can be in it yet.
    fresh: bool,
}

impl Spool {
    /// The folder, made if it is not there.
    pub(super) fn open(folder: &Path, reserve: u64) -> Result<Self, SpoolError> {
        fs::create_dir_all(folder).map_err(fail(folder))?;
        Ok(Self { folder: folder.into(), reserve })
    }

    /// The file of the announcement `mark`, of `bundle`, made if it is not there; those of others are removed.
    pub(super) fn keep(&self, mark: &Digest, bundle: &Chunked) -> Result<Spooled, SpoolError> {
        let path = self.folder.join(mark.to_string());
        for entry in fs::read_dir(&self.folder).map_err(fail(&self.folder))?.flatten() {
            let other = entry.path();
            if other != path && other.file_name().is_some_and(|name| name != HAD) {
                let _ = fs::remove_file(other);
            }
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC);
        let file = options.open(&path).map_err(fail(&path))?;
        let found = file.metadata().map_err(fail(&path))?;
        let fresh = found.len() != bundle.length;
        if fresh {
            let wanted = bundle.length;
            let claimed = file.set_len(0).map_err(Claim::from).and_then(|()| claim(&file, wanted, self.reserve));
            if let Err(claim) = claimed.and_then(|()| Ok(file.set_len(wanted)?)) {
                drop(fs::remove_file(&path));
                return Err(match claim {
                    Claim::Full { free } => SpoolError::Full { path, wanted, free },
                    Claim::Disk(source) => SpoolError::File { path, source },
                });
            }
        }
        Ok(Spooled { file, path, fresh })
    }

    /// Removes the file of the announcement `mark`.
    pub(super) fn discard(&self, mark: &Digest) {
        let _ = fs::remove_file(self.folder.join(mark.to_string()));
    }

    /// Bundles done with, as far as that is known: a lost file costs one transfer.
    pub(super) fn had(&self) -> Vec<Digest> {
        let path = self.folder.join(HAD);
        match fs::metadata(&path) {
            Ok(found) if found.len() <= MAX_HAD => {}
            _ => return Vec::new(),
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Remembers them.
    pub(super) fn remember<'a>(&self, had: impl Iterator<Item = &'a Digest>) -> Result<(), SpoolError> {
        let text: String = had.map(|digest| format!("{digest}\n")).collect();
        let (new, path) = (self.folder.join("had.new"), self.folder.join(HAD));
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(fail(&path))
    }
}

impl Spooled {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing can be in it yet: it has just been made.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether chunk `index` of `bundle` is here and right. Reads into `buffer`.
    pub(super) fn holds(&self, bundle: &Chunked, index: usize, buffer: &mut Vec<u8>) -> bool {
        self.read(bundle, index, buffer).is_ok() && Digest::of(buffer) == bundle.chunks[index]
    }

    /// Reads chunk `index` of `bundle`, right or wrong, into `buffer`.
    pub(super) fn read(&self, bundle: &Chunked, index: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let (offset, length) = bundle.extent(index).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.resize(length as usize, 0);
        self.file.read_exact_at(buffer, offset)
    }

    /// Puts a verified chunk where it belongs.
    pub(super) fn put(&self, offset: u64, chunk: &[u8]) -> Result<(), SpoolError> {
        self.file.write_all_at(chunk, offset).map_err(fail(&self.path))
    }
}

fn fail(path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::File { path, source }
}

#[cfg(test)]
mod tests {
    use casemate_protocol::broker::CHUNK_LENGTH;
    use casemate_protocol::tuf::role::Version;

    use super::*;

    fn bundle(name: &str) -> Chunked {
        let chunks = vec![Digest::of(&[1; CHUNK_LENGTH as usize]), Digest::of(&[2; 5])];
        Chunked::of(Digest::of(name.as_bytes()), u64::from(CHUNK_LENGTH) + 5, Version::FIRST, chunks).unwrap()
    }

    #[test]
    fn what_is_in_the_spool_is_believed_only_after_it_was_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 0).unwrap();
        let kept = spool.keep(&Digest::of(b"a"), &bundle("a")).unwrap();
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(kept.path()).unwrap());
        assert!(blocks * 512 >= bundle("a").length, "its room is taken from the start");
        kept.put(0, &[1; CHUNK_LENGTH as usize]).unwrap();
        kept.put(u64::from(CHUNK_LENGTH), &[2; 5]).unwrap();
        let held = |kept: &Spooled| {
            let mut buffer = Vec::new();
            [0, 1, 2].map(|index| kept.holds(&bundle("a"), index, &mut buffer))
        };
        assert_eq!(held(&spool.keep(&Digest::of(b"a"), &bundle("a")).unwrap()), [true, true, false]);
        kept.put(77, &[3]).unwrap();
        assert_eq!(held(&spool.keep(&Digest::of(b"a"), &bundle("a")).unwrap()), [false, true, false]);
    }

    #[test]
    fn one_bundle_is_kept_at_a_time_and_memory_outlives_it() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 0).unwrap();
        spool.remember([Digest::of(b"old")].iter()).unwrap();
        spool.keep(&Digest::of(b"a"), &bundle("a")).unwrap();
        spool.keep(&Digest::of(b"b"), &bundle("b")).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 2);
        assert_eq!(spool.had(), [Digest::of(b"old")]);
        fs::write(folder.path().join(HAD), b"rubbish\n\xff").unwrap();
        assert!(spool.had().is_empty());
    }

    #[test]
    fn the_reserve_stays_free() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), u64::MAX).unwrap();
        let error = spool.keep(&Digest::of(b"a"), &bundle("a")).unwrap_err();
        assert_eq!(error.code(), Code::DiskFull);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
