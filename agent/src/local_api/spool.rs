//! Bundles that are on their way here: what has come of each so far, on disk.
//!
//! ```text
//!  <kind>.<id>.<sha256>.<length>    an upload: as long as the offset it goes on from
//!  post.<kind>.<id>.<number>        the body of a request that cannot be resumed; of no use after a restart
//! ```
//!
//! Whatever lies here leaves room for what comes on a stick, and what publishers send leaves room for operators.
//! Nothing is flushed: after a power cut an upload may hold zeros, its digest tells, and it begins anew.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::certificate_name::{CertificateKind, CertificateName};
use casemate_protocol::digest::{Digest, Hasher};
use nix::sys::statvfs::fstatvfs;
use thiserror::Error;

/// Bundles of one certificate that may lie here, unfinished or being imported.
const MOST: usize = 2;
/// Of all certificates of one kind.
const MOST_OF_KIND: usize = 8;
/// What lies here takes at most this part of the room that there would be without it …
const SHARE: u64 = 2;
/// … and what publishers sent, this part.
const PUBLISHERS_SHARE: u64 = 4;
/// An upload that has not grown for so long is given up once its place is needed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// Read at once when a digest is checked, bytes.
const CHUNK: usize = 256 << 10;
/// How the name of a body begins that cannot be resumed.
const POST: &str = "post.";
/// Bytes that may be written between two looks at the free space.
const LOOK_EVERY: u64 = 8 << 20;

/// Why bytes are not taken.
#[derive(Debug, Error)]
pub(super) enum SpoolError {
    /// They do not go on where the upload was left.
    #[error("the upload stands at {found}, not at {asked}")]
    Offset {
        /// Bytes that are here.
        found: u64,
        /// Where these bytes would go.
        asked: u64,
    },
    /// The same upload was said to have another length.
    #[error("the upload has {known} bytes, not {asked}")]
    Length {
        /// As said at first.
        known: u64,
        /// As said now.
        asked: u64,
    },
    /// Somebody is sending to it.
    #[error("bytes of this upload are being received already")]
    Busy,
    /// All bytes are here, and they are others.
    #[error("what was received has the digest {found}, the upload is called {wanted}; begin anew")]
    Digest {
        /// Of the bytes.
        found: Digest,
        /// Its name.
        wanted: Digest,
    },
    /// More bytes came than were announced.
    #[error("more than the announced {0} bytes came")]
    TooLong(u64),
    /// Too many bundles of this certificate, or of its kind, lie here.
    #[error("{0} bundles are being received or imported already")]
    TooMany(usize),
    /// It would take room that is kept for others.
    #[error("{wanted} bytes do not fit: {used} of the {share} bytes that uploads may take are taken")]
    Share {
        /// Bytes to come.
        wanted: u64,
        /// Bytes that lie here.
        used: u64,
        /// Bytes that may.
        share: u64,
    },
    /// The disk would become too full.
    #[error("{wanted} bytes do not fit: {free} are free, of which {reserve} stay free")]
    Full {
        /// Bytes to come.
        wanted: u64,
        /// Bytes free.
        free: u64,
        /// Bytes that stay free.
        reserve: u64,
    },
    /// A file operation failed.
    #[error("cannot keep the upload")]
    File(#[from] io::Error),
}

impl Explain for SpoolError {
    fn code(&self) -> Code {
        match self {
            Self::Offset { .. } | Self::Length { .. } | Self::Busy | Self::Digest { .. } => Code::UploadConflict,
            Self::TooLong(_) => Code::TooLarge,
            Self::TooMany(_) => Code::Overload,
            Self::Full { .. } | Self::Share { .. } => Code::DiskFull,
            Self::File(error) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
                _ => Code::StateUnavailable,
            },
        }
    }
}

/// The folder with what has come so far. Clones share it; nobody else writes there.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: Arc<Path>,
    reserve: u64,
    busy: Arc<Mutex<BTreeSet<String>>>,
    posts: Arc<AtomicU64>,
    /// Held while a file is counted and made.
    making: Arc<Mutex<()>>,
}

/// One file of the folder.
struct Lying {
    path: PathBuf,
    name: String,
    length: u64,
    grown: SystemTime,
}

impl Lying {
    /// Whether it was sent with a certificate called so: `<kind>.` or `<kind>.<id>.`
    fn is_of(&self, prefix: &str) -> bool {
        self.name.strip_prefix(POST).unwrap_or(&self.name).starts_with(prefix)
    }
}

impl Spool {
    /// The spool at `folder`, which is made if need be; `reserve` bytes of its disk stay free.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, reserve: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(POST.as_bytes()) || is_abandoned(&entry.path()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { folder: folder.into(), reserve, busy: Arc::default(), posts: Arc::default(), making: Arc::default() })
    }

    /// How much of an upload of `whose` is here, and how long it will be; `None` if nothing of it is here.
    pub(super) fn offset(&self, whose: &CertificateName, digest: &Digest) -> io::Result<Option<(u64, u64)>> {
        let prefix = prefix(whose, digest);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let length = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
            if let Some(length) = length {
                return Ok(Some((entry.metadata()?.len(), length)));
            }
        }
        Ok(None)
    }

    /// Goes on with an upload at `offset`, or begins it. Nobody else can until the answer is dropped.
    pub(super) fn resume(
        &self,
        whose: &CertificateName,
        digest: &Digest,
        offset: u64,
        length: u64,
    ) -> Result<Unfinished, SpoolError> {
        let prefix = prefix(whose, digest);
        let busy = Busy::enter(&self.busy, &prefix).ok_or(SpoolError::Busy)?;
        let known = self.offset(whose, digest)?;
        match known {
            Some((_, known)) if known != length => return Err(SpoolError::Length { known, asked: length }),
            Some((found, _)) if found != offset => return Err(SpoolError::Offset { found, asked: offset }),
            None if offset != 0 => return Err(SpoolError::Offset { found: 0, asked: offset }),
            _ => {}
        }
        self.begin(whose, &format!("{prefix}{length}"), offset, length, Some((*digest, busy)))
    }

    /// Takes in a body of `whose` that cannot be resumed, of at most `length` bytes.
    pub(super) fn post(&self, whose: &CertificateName, length: u64) -> Result<Unfinished, SpoolError> {
        let number = self.posts.fetch_add(1, Ordering::Relaxed);
        self.begin(whose, &format!("{POST}{}.{}.{number}", whose.kind, whose.id), 0, length, None)
    }

    fn begin(
        &self,
        whose: &CertificateName,
        name: &str,
        received: u64,
        length: u64,
        resumed: Option<(Digest, Busy)>,
    ) -> Result<Unfinished, SpoolError> {
        let path = self.folder.join(name);
        let making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.exists() {
            self.make_room(whose)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        drop(making);
        let (digest, busy) = resumed.unzip();
        let (spool, kind) = (self.clone(), whose.kind);
        let mut upload = Unfinished { file, path, received, length, digest, looked: 0, spool, kind, _busy: busy };
        // A body of unknown length is looked at as it comes.
        let wanted = if length == u64::MAX { 0 } else { length.saturating_sub(received) };
        if let Err(error) = upload.look(wanted) {
            if received == 0 {
                upload.remove();
            }
            return Err(error);
        }
        Ok(upload)
    }

    /// All that lies here.
    fn lying(&self) -> io::Result<Vec<Lying>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(found) => {
                    all.push(Lying { path: entry.path(), name, length: found.len(), grown: found.modified()? });
                }
                // It was imported just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Takes away what was abandoned and, if `whose` has as much here as it may, what it left longest ago; fails if
    /// there is still too much.
    fn make_room(&self, whose: &CertificateName) -> Result<(), SpoolError> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = |one: &Lying| !one.name.starts_with(POST) && !busy.iter().any(|name| one.name.starts_with(name));
        let mut all = self.lying()?;
        all.sort_by_key(|one| one.grown);
        let (mine, kind) = (format!("{}.{}.", whose.kind, whose.id), format!("{}.", whose.kind));
        let mut count = all.iter().filter(|one| one.is_of(&mine)).count();
        let mut of_kind = all.iter().filter(|one| one.is_of(&kind)).count();
        for one in all.iter().filter(|one| is_idle(one)) {
            let in_the_way = one.is_of(&mine) && count >= MOST;
            if in_the_way || is_abandoned(&one.path) {
                fs::remove_file(&one.path)?;
                count -= usize::from(one.is_of(&mine));
                of_kind -= usize::from(one.is_of(&kind));
            }
        }
        match (count < MOST, of_kind < MOST_OF_KIND) {
            (true, true) => Ok(()),
            (false, _) => Err(SpoolError::TooMany(MOST)),
            (true, false) => Err(SpoolError::TooMany(MOST_OF_KIND)),
        }
    }

    /// Makes sure that `wanted` bytes more of this kind leave the reserve, and others their part of the room.
    fn look(&self, kind: CertificateKind, wanted: u64, free: u64) -> Result<(), SpoolError> {
        let reserve = self.reserve;
        if free < wanted.saturating_add(reserve) {
            return Err(SpoolError::Full { wanted, free, reserve });
        }
        let all = self.lying()?;
        let used = |kind: &str| all.iter().filter(|one| one.is_of(kind)).map(|one| one.length).sum::<u64>();
        let room = (free - reserve).saturating_add(used(""));
        let mut shares = vec![(used(""), room / SHARE)];
        if kind != CertificateKind::Operator {
            shares.push((used(&format!("{kind}.")), room / PUBLISHERS_SHARE));
        }
        for (used, share) in shares {
            if used.saturating_add(wanted) > share {
                return Err(SpoolError::Share { wanted, used, share });
            }
        }
        Ok(())
    }
}

fn prefix(whose: &CertificateName, digest: &Digest) -> String {
    format!("{}.{}.{digest}.", whose.kind, whose.id)
}

/// Whether a file has not grown for long; a clock that was set back makes nothing old.
fn is_abandoned(path: &Path) -> bool {
    let grown = fs::metadata(path).and_then(|metadata| metadata.modified());
    grown.is_ok_and(|grown| SystemTime::now().duration_since(grown).is_ok_and(|idle| idle > ABANDONED))
}

/// An upload that bytes are being received for.
#[derive(Debug)]
pub(super) struct Unfinished {
    file: File,
    path: PathBuf,
    received: u64,
    length: u64,
    digest: Option<Digest>,
    /// Received when the free space was last looked at.
    looked: u64,
    spool: Spool,
    kind: CertificateKind,
    _busy: Option<Busy>,
}

impl Unfinished {
    /// Where it stands on disk.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are here.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether all bytes are here.
    pub(super) fn is_whole(&self) -> bool {
        self.received == self.length
    }

    /// Adds `bytes` behind those that are here.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let length = bytes.len() as u64;
        if length > self.length - self.received {
            return Err(SpoolError::TooLong(self.length));
        }
        if self.received + length > self.looked + LOOK_EVERY {
            self.look(length)?;
        }
        let written = self.file.write_all(bytes);
        // A write that failed half way counts as far as it got.
        self.received = if written.is_ok() { self.received + length } else { self.file.metadata()?.len() };
        Ok(written?)
    }

    /// Makes sure that there is room for `wanted` bytes more.
    fn look(&mut self, wanted: u64) -> Result<(), SpoolError> {
        let figures = fstatvfs(self.file.as_fd()).map_err(io::Error::from)?;
        #[expect(clippy::useless_conversion, reason = "the types differ between architectures")]
        let free = u64::from(figures.blocks_available()).saturating_mul(u64::from(figures.fragment_size()));
        self.spool.look(self.kind, wanted, free)?;
        self.looked = self.received;
        Ok(())
    }

    /// Makes sure that the bytes are those the upload is called by; else all are thrown away.
    pub(super) fn check(&self) -> Result<(), SpoolError> {
        let Some(wanted) = self.digest else { return Ok(()) };
        let (mut file, mut hasher, mut chunk) = (File::open(&self.path)?, Hasher::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                count => hasher.update(&chunk[..count]),
            }
        }
        let found = hasher.finish();
        if found == wanted {
            return Ok(());
        }
        self.remove();
        Err(SpoolError::Digest { found, wanted })
    }

    /// Throws away what is here.
    pub(super) fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "an upload could not be removed");
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Without a name nobody could go on with it.
        if self.digest.is_none() {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// The sole right to go on with an upload.
#[derive(Debug)]
struct Busy {
    all: Arc<Mutex<BTreeSet<String>>>,
    name: String,
}

impl Busy {
    fn enter(all: &Arc<Mutex<BTreeSet<String>>>, name: &str) -> Option<Self> {
        let entered = all.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        entered.then(|| Self { all: all.clone(), name: name.to_owned() })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests;
