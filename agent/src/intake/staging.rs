//! The staging folder, as the child sees it: a descriptor and names made of hashes.
//!
//! | name | what it is |
//! |---|---|
//! | `<object id>` | a whole verified object |
//! | `<object id>.partial` | one being written |
//! | `<object id>.parts` | one byte for each of its parts, 1 once that part is verified and synced |

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use casemate_protocol::bundle::appraisal::{Placement, Wanted};
use casemate_protocol::bundle::part::MAX_PART;
use casemate_protocol::digest::{Digest, Hasher};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate, openat, renameat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::hashing::ALIGNMENT;

/// Objects up to this length, bytes, are written plainly, left unsynced, and hashed again by whoever relies on them.
pub(super) const SMALL: u64 = 1 << 20;

/// The folder.
#[derive(Debug)]
pub(super) struct Staging {
    folder: OwnedFd,
}

/// What is staged of an object, for whoever would fetch the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Staged {
    /// All of it.
    Whole,
    /// These of its parts, by index; none if nothing is there.
    Parts(Vec<usize>),
}

/// What earlier readers left in the staging folder `folder` of an object of `length` bytes. What is large is not hashed
/// again: the next reader does that before it counts on it.
///
/// # Errors
/// The folder cannot be read.
pub fn staged(folder: &Path, object: &Digest, length: u64) -> io::Result<Staged> {
    Ok(match Staging::at(folder)?.find(object, length)? {
        Found::Whole => Staged::Whole,
        Found::Parts(parts) => Staged::Parts(parts.into_iter().collect()),
    })
}

/// Deletes what earlier readers left in the staging folder `folder` of other objects than `objects`; says how many files
/// that were.
///
/// # Errors
/// The folder cannot be read, or a file not be deleted.
pub fn keep_only(folder: &Path, objects: &[Digest]) -> io::Result<usize> {
    let objects: BTreeSet<_> = objects.iter().collect();
    let mut deleted = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let object: Option<Digest> = name.to_str().and_then(|name| name.split('.').next()?.parse().ok());
        // What this folder has besides is nobody's leftover.
        if object.is_some_and(|object| !objects.contains(&object)) {
            std::fs::remove_file(entry.path())?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// What is there of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Whole,
    Parts(BTreeSet<usize>),
}

impl AsFd for Staging {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

fn partial(object: &Digest) -> String {
    format!("{object}.partial")
}

fn parts(object: &Digest) -> String {
    format!("{object}.parts")
}

/// Parts of an object of `length` bytes.
fn part_count(length: u64) -> usize {
    usize::try_from(length.div_ceil(MAX_PART)).unwrap_or(usize::MAX)
}

impl Staging {
    /// The working folder.
    pub(super) fn open() -> io::Result<Self> {
        Self::at(Path::new("."))
    }

    fn at(folder: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { folder: nix::fcntl::open(folder, flags, Mode::empty())? })
    }

    /// Bytes free to unprivileged writers.
    pub(super) fn free(&self) -> io::Result<u64> {
        let figures = fstatvfs(self.folder.as_fd())?;
        #[expect(clippy::useless_conversion, reason = "the types differ between architectures")]
        Ok(u64::from(figures.blocks_available()).saturating_mul(u64::from(figures.fragment_size())))
    }

    fn open_file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        Ok(openat(&self.folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What an earlier run left of `object`. A small one is hashed: it may never have reached the disk.
    pub(super) fn find(&self, object: &Digest, length: u64) -> io::Result<Found> {
        match self.open_file(&object.to_string(), OFlag::O_RDONLY) {
            Ok(mut file) => {
                // One of another length may be what another owner means by the same name.
                if file.metadata()?.len() == length {
                    if length > SMALL || hash(&mut file)? == *object {
                        return Ok(Found::Whole);
                    }
                    self.remove(&object.to_string())?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut flags = Vec::new();
        let (list, data) = (self.open_file(&parts(object), OFlag::O_RDONLY), partial(object));
        if let (Ok(list), Ok(_)) = (list, self.open_file(&data, OFlag::O_RDONLY)) {
            list.take(part_count(length) as u64).read_to_end(&mut flags)?;
        }
        let verified = flags.iter().enumerate().filter(|(_, flag)| **flag == 1);
        Ok(Found::Parts(verified.map(|(part, _)| part).collect()))
    }

    /// What an earlier run left of `wanted`, read and hashed again; what is not intact is forgotten. That run may have
    /// read another archive, and been taken over by it. Says after every part that it is `alive`.
    pub(super) fn find_intact(&self, wanted: &Wanted, alive: &mut dyn FnMut()) -> io::Result<Found> {
        let found = self.find(&wanted.object, wanted.length)?;
        if wanted.length <= SMALL {
            return Ok(found);
        }
        let (name, claimed) = match &found {
            Found::Whole => (wanted.object.to_string(), (0..wanted.parts.len()).collect()),
            Found::Parts(parts) if parts.is_empty() => return Ok(found),
            Found::Parts(parts) => (partial(&wanted.object), parts.clone()),
        };
        let file = self.open_file(&name, OFlag::O_RDONLY)?;
        let mut intact = BTreeSet::new();
        for (index, part) in wanted.parts.iter().enumerate().filter(|(index, _)| claimed.contains(index)) {
            if hash_at(&file, part.offset, part.length)? == Some(part.sha256) {
                intact.insert(index);
            }
            alive();
        }
        if intact == claimed {
            return Ok(found);
        }
        if found == Found::Whole {
            self.remove(&name)?;
            return Ok(Found::Parts(BTreeSet::new()));
        }
        let list = self.open_file(&parts(&wanted.object), OFlag::O_WRONLY)?;
        for index in claimed.difference(&intact) {
            list.write_all_at(&[0], *index as u64)?;
        }
        list.sync_data()?;
        Ok(Found::Parts(intact))
    }

    /// Writes a small object, whole.
    pub(super) fn write_small(&self, object: &Digest, content: &[u8]) -> io::Result<()> {
        let name = partial(object);
        self.open_file(&name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)?.write_all(content)?;
        Ok(renameat(&self.folder, name.as_str(), &self.folder, object.to_string().as_str())?)
    }

    /// Opens the file a part goes to, with room for the whole object. Direct, unless the file system cannot.
    pub(super) fn open_part(&self, place: &Placement) -> io::Result<File> {
        let name = partial(&place.object);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT;
        let file = match self.open_file(&name, flags | OFlag::O_DIRECT) {
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => self.open_file(&name, flags)?,
            other => other?,
        };
        let room = place.object_length.next_multiple_of(ALIGNMENT as u64);
        if file.metadata()?.len() < room {
            let room = i64::try_from(room).map_err(|_| io::ErrorKind::FileTooLarge)?;
            match fallocate(&file, FallocateFlags::empty(), 0, room) {
                Ok(()) | Err(Errno::EOPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(file)
    }

    /// The part at `place`, written through `file`, is verified: remembers that, or makes the object whole.
    ///
    /// # Durability
    /// The part is synced before the note of it is, the object before it has its name.
    pub(super) fn verified(&self, file: &File, place: &Placement) -> io::Result<()> {
        let count = part_count(place.object_length);
        if count > 1 {
            file.sync_data()?;
            let list = self.open_file(&parts(&place.object), OFlag::O_WRONLY | OFlag::O_CREAT)?;
            list.write_all_at(&[1], place.part as u64)?;
            list.sync_data()?;
            match self.find(&place.object, place.object_length)? {
                Found::Parts(done) if done.len() < count => return Ok(()),
                _ => {}
            }
        }
        file.set_len(place.object_length)?;
        file.sync_all()?;
        let (from, to) = (partial(&place.object), place.object.to_string());
        renameat(&self.folder, from.as_str(), &self.folder, to.as_str())?;
        self.remove(&parts(&place.object))
    }

    /// The part at `place` is bad. What other parts of the object are verified stays.
    pub(super) fn rejected(&self, place: &Placement) -> io::Result<()> {
        match self.find(&place.object, place.object_length)? {
            Found::Parts(done) if done.is_empty() => self.remove(&partial(&place.object)),
            _ => Ok(()),
        }
    }
}

/// SHA-256 of `length` bytes of a file from `offset` on; `None` if it has fewer.
fn hash_at(file: &File, offset: u64, length: u64) -> io::Result<Option<Digest>> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_at(&mut buffer[..most], at)? {
            0 => return Ok(None),
            count => {
                hasher.update(&buffer[..count]);
                at += count as u64;
            }
        }
    }
    Ok(Some(hasher.finish()))
}

/// SHA-256 of a file from where it stands to its end.
pub(super) fn hash(file: &mut impl Read) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_staged_only_the_wanted_is_kept_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let [wanted, other] = [b"wanted", b"other!"].map(|name| Digest::of(name));
        let names = [wanted.to_string(), partial(&wanted), parts(&wanted), "lost+found".into()];
        let gone = [other.to_string(), partial(&other), parts(&other)];
        for name in names.iter().chain(&gone) {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        std::fs::create_dir(folder.path().join("dry-run")).unwrap();
        assert_eq!(keep_only(folder.path(), &[wanted]).unwrap(), 3);
        assert!(names.iter().all(|name| folder.path().join(name).exists()) && folder.path().join("dry-run").exists());
        assert!(gone.iter().all(|name| !folder.path().join(name).exists()));
    }
}
