//! Making many files durable.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Flushed one by one: each costs milliseconds. Whoever signs for an owner decides how many files and folders there
/// are, and tens of thousands would hold the state up for many minutes: longer than the service manager waits.
const ONE_BY_ONE: usize = 64;

/// Makes `paths`, files and folders of one file system, durable. Many of them go to disk by one call, with whatever
/// else waits there.
///
/// # Durability
/// All of them, when it returns.
///
/// # Errors
/// Which one cannot be made durable, and why; of many, the first stands for all.
pub(crate) fn flush(paths: &[&Path]) -> Result<(), (PathBuf, io::Error)> {
    let (flushed, sync): (_, fn(File) -> io::Result<()>) = if paths.len() > ONE_BY_ONE {
        // Tells of failed writes since Linux 5.8.
        (&paths[..1], |any| Ok(nix::unistd::syncfs(any)?))
    } else {
        (paths, |one| one.sync_all())
    };
    flushed.iter().try_for_each(|path| File::open(path).and_then(sync).map_err(|error| (path.to_path_buf(), error)))
}

/// Of a file of at most this many bytes no whole page stands inside all but its first and its last byte.
const TWO_PAGES: usize = 8192;

/// Sends a small file that was just written to disk, without waiting: when the flush comes that makes it durable, its place
/// is found, and what the file system writes for it goes with what it writes for others. A hint, and no more.
pub(crate) fn write_back(file: &File, length: usize) {
    // Linux begins to write what is advised to be needed no longer. Only whole pages would be dropped, and there are none.
    if let (2..=TWO_PAGES, Ok(inner)) = (length, i64::try_from(length.saturating_sub(2))) {
        let _hint = posix_fadvise(file, 1, inner, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}
