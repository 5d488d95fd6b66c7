//! Paths that nobody but root can change.
//!
//! The helper writes links and reads its orders as root. Were any folder on the way writable by somebody else, he could
//! put a symlink or a folder of his own in its place, and root would write where he wants. So a path is walked from
//! the root, one folder at a time, following no link, and everything after goes through the folder that was checked.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::geteuid;
use thiserror::Error;

/// Why a path is not trusted.
#[derive(Debug, Error)]
pub enum TrustError {
    /// It depends on where the program was started, or goes through `..`.
    #[error("{0} is not a plain absolute path")]
    Relative(PathBuf),
    /// It cannot be opened; a link on the way reads as something that is no folder.
    #[error("cannot open {path} without following links")]
    Open {
        /// The path so far.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else could change it.
    #[error("{path} belongs to uid {uid} with mode {mode:o}: somebody other than root could change it")]
    Loose {
        /// The path so far.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permissions.
        mode: u32,
    },
    /// Something other than a regular file.
    #[error("{0} is no regular file")]
    NoFile(PathBuf),
}

impl TrustError {
    /// Nothing stands there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Opens a folder that only root (or the user this runs as) can change, nor anything above it.
///
/// # Errors
/// A link on the way, a folder others may write to, or none there.
pub fn folder(path: &Path) -> Result<OwnedFd, TrustError> {
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return Err(TrustError::Relative(path.into()));
    }
    let mut so_far = PathBuf::from("/");
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut at = nix::fcntl::open("/", flags, Mode::empty()).map_err(fail(&so_far))?;
    for component in components {
        let Component::Normal(name) = component else {
            return Err(TrustError::Relative(path.into()));
        };
        check(&at, &so_far, Shared::Sticky)?;
        so_far.push(name);
        at = openat(&at, name, flags, Mode::empty()).map_err(fail(&so_far))?;
    }
    check(&at, &so_far, Shared::No)?;
    Ok(at)
}

/// Opens the regular file `name` in a folder opened by [`folder`] at `path`, for reading.
///
/// # Errors
/// A link, no regular file, or others may write to it.
pub fn file(folder: &OwnedFd, path: &Path, name: &OsStr) -> Result<File, TrustError> {
    let path = path.join(name);
    // Not blocking: a FIFO in its place must not hold the helper up.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(fail(&path))?;
    let stat = check(&file, &path, Shared::No)?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Err(TrustError::NoFile(path));
    }
    Ok(file.into())
}

/// Whether others may make entries of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shared {
    /// They may not.
    No,
    /// They may where the sticky bit keeps them from moving what is not theirs, as in `/tmp`.
    Sticky,
}

fn check(at: &impl AsFd, path: &Path, shared: Shared) -> Result<FileStat, TrustError> {
    let stat = fstat(at).map_err(fail(path))?;
    let own = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw();
    let open = stat.st_mode & 0o022 != 0;
    let sticky = shared == Shared::Sticky && stat.st_mode & 0o1000 != 0;
    if own && (!open || sticky) {
        return Ok(stat);
    }
    Err(TrustError::Loose { path: path.into(), uid: stat.st_uid, mode: stat.st_mode & 0o7777 })
}

fn fail(path: &Path) -> impl FnOnce(nix::Error) -> TrustError {
    |error| TrustError::Open { path: path.into(), source: error.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_of_ones_own_is_trusted_and_one_others_may_write_to_is_not() {
        let base = tempfile::tempdir().unwrap();
        let inner = base.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        folder(&inner).unwrap();
        mode(&inner, 0o775);
        assert!(matches!(folder(&inner), Err(TrustError::Loose { mode: 0o775, .. })));
        mode(&inner, 0o1777);
        assert!(matches!(folder(&inner), Err(TrustError::Loose { .. })), "others could take the name first");
        mode(&inner, 0o755);
        mode(&base.path().join("a"), 0o777);
        assert!(matches!(folder(&inner), Err(TrustError::Loose { .. })), "a folder on the way counts as well");
    }

    #[test]
    fn no_link_on_the_way_is_followed() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("real/inner")).unwrap();
        symlink(base.path().join("real"), base.path().join("link")).unwrap();
        assert!(matches!(folder(&base.path().join("link/inner")), Err(TrustError::Open { .. })));
        assert!(matches!(folder(&base.path().join("link")), Err(TrustError::Open { .. })));
        assert!(matches!(folder(&base.path().join("real/../real")), Err(TrustError::Relative(_))));
        assert!(matches!(folder(Path::new("relative")), Err(TrustError::Relative(_))));
    }

    #[test]
    fn only_a_regular_file_that_others_cannot_write_is_read() {
        let base = tempfile::tempdir().unwrap();
        let at = folder(base.path()).unwrap();
        let open = |name: &str| file(&at, base.path(), OsStr::new(name));
        let plain = base.path().join("plain");
        std::fs::write(&plain, "x").unwrap();
        mode(&plain, 0o644);
        open("plain").unwrap();
        mode(&plain, 0o646);
        assert!(matches!(open("plain"), Err(TrustError::Loose { .. })));
        mode(&plain, 0o644);
        symlink(&plain, base.path().join("link")).unwrap();
        assert!(matches!(open("link"), Err(TrustError::Open { .. })));
        nix::unistd::mkfifo(&base.path().join("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
        assert!(matches!(open("fifo"), Err(TrustError::NoFile(_))));
        assert!(open("absent").unwrap_err().is_absent());
    }
}
