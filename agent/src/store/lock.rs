//! Who may use the state folder: its owner's uid, one process at a time.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::StoreError;

/// Held for as long as the folder is owned; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

/// Makes a folder unless it is there, reachable for its owner only, or for `readers` on their way to `current`.
pub(super) fn make_folder(path: &Path, mode: u32) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(StoreError::file("create", path))
}

impl Lock {
    /// Makes the folder if need be and takes it.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        make_folder(folder, 0o711)?;
        let owner = fs::metadata(folder).map_err(StoreError::file("read", folder))?.uid();
        let user = nix::unistd::geteuid().as_raw();
        // Root could write here, and every file it made would lock the agent's own user out.
        if owner != user {
            return Err(StoreError::WrongUser { path: folder.into(), owner, user });
        }
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(StoreError::file("open", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Self { _file: file }),
            Err((_, Errno::EWOULDBLOCK)) => Err(StoreError::Busy { path: folder.into() }),
            Err((_, errno)) => Err(StoreError::file("lock", path)(errno.into())),
        }
    }
}
