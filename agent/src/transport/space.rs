//! Room on the disk for what arrives, claimed before it does: several transports at once may not use up what is reserved.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::fstatvfs;

/// Claims blocks for `length` bytes of `file`, whose length stays as it is, such that `reserve` bytes of its disk stay free.
///
/// # Errors
/// [`Claim::Full`], with what there is above the reserve; or the disk fails.
pub(super) fn claim(file: &File, length: u64, reserve: u64) -> Result<(), Claim> {
    let found = fstatvfs(file).map_err(io::Error::from)?;
    let free = (found.blocks_available() * found.fragment_size()).saturating_sub(reserve);
    if length > free {
        return Err(Claim::Full { free });
    }
    let length = i64::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
        // A file system that cannot promise blocks leaves the check above.
        Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(Claim::Disk(errno.into())),
    }
}

/// Why there is no room.
#[derive(Debug)]
pub(super) enum Claim {
    /// The reserve would not stay free.
    Full {
        /// Bytes there are above it.
        free: u64,
    },
    /// The disk fails.
    Disk(io::Error),
}

impl From<io::Error> for Claim {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<Claim> for io::Error {
    fn from(claim: Claim) -> Self {
        match claim {
            Claim::Full { .. } => io::ErrorKind::StorageFull.into(),
            Claim::Disk(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_claimed_is_taken_from_the_disk_before_anything_is_written() {
        let file = tempfile::tempfile().unwrap();
        claim(&file, 1 << 20, 0).unwrap();
        let found = file.metadata().unwrap();
        assert_eq!((found.len(), found.blocks() * 512 >= 1 << 20), (0, true));
    }

    #[test]
    fn the_reserve_stays_free() {
        let file = tempfile::tempfile().unwrap();
        let error = claim(&file, 1, u64::MAX).unwrap_err();
        assert!(matches!(error, Claim::Full { free: 0 }), "{error:?}");
        assert_eq!(file.metadata().unwrap().blocks(), 0);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
    }
}
