//! Files that another user of this machine writes for the agent: regular, that user's alone to change, short, of one
//! shape.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Bits that let a group or others write.
const OPEN: u32 = 0o022;

/// Whose file it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Root's.
    Root,
    /// The user's whose folder it stands in.
    Folders,
}

/// Why such a file counts for nothing.
#[derive(Debug, Error)]
pub enum ForeignFileError {
    /// It cannot be read; a link reads as something that cannot be opened.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else could have written it.
    #[error(
        "{path} has uid {uid} and mode {mode:o}, it is to be a regular file of uid {expected} that nobody else can write"
    )]
    Loose {
        /// The file, or its folder.
        path: PathBuf,
        /// Whose it is to be.
        expected: u32,
        /// Whose it is.
        uid: u32,
        /// Its mode.
        mode: u32,
    },
    /// Longer than anything of its kind.
    #[error("{path} has more than {limit} bytes")]
    Length {
        /// The file.
        path: PathBuf,
        /// Most that is read.
        limit: u64,
    },
    /// Not what is written there.
    #[error("{path} has another shape")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What JSON says; absent if it is a value that breaks a rule.
        #[source]
        source: Option<serde_json::Error>,
    },
}

impl ForeignFileError {
    /// There is no such file.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The document at `path`, if `fits` says that its values are in order.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    owner: Owner,
    limit: u64,
    fits: impl Fn(&T) -> bool,
) -> Result<T, ForeignFileError> {
    let raw = content(path, owner, limit)?;
    let shape = |source| ForeignFileError::Shape { path: path.into(), source };
    let document = serde_json::from_slice(&raw).map_err(|source| shape(Some(source)))?;
    if fits(&document) { Ok(document) } else { Err(shape(None)) }
}

/// The bytes at `path`.
pub(crate) fn content(path: &Path, owner: Owner, limit: u64) -> Result<Vec<u8>, ForeignFileError> {
    let unread = |source| ForeignFileError::Read { path: path.into(), source };
    // Not blocking: a pipe in its place must hold nobody up.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(unread)?;
    let expected = match owner {
        Owner::Root => 0,
        Owner::Folders => folders_owner(path)?,
    };
    let metadata = file.metadata().map_err(unread)?;
    if !metadata.is_file() || metadata.uid() != expected || metadata.mode() & OPEN != 0 {
        return Err(loose(path, expected, &metadata));
    }
    let mut raw = Vec::new();
    File::take(file, limit + 1).read_to_end(&mut raw).map_err(unread)?;
    if raw.len() as u64 > limit {
        return Err(ForeignFileError::Length { path: path.into(), limit });
    }
    Ok(raw)
}

fn folders_owner(path: &Path) -> Result<u32, ForeignFileError> {
    let folder = path.parent().unwrap_or(path);
    let metadata =
        folder.symlink_metadata().map_err(|source| ForeignFileError::Read { path: folder.into(), source })?;
    if metadata.is_dir() && metadata.mode() & OPEN == 0 {
        return Ok(metadata.uid());
    }
    Err(loose(folder, metadata.uid(), &metadata))
}

fn loose(path: &Path, expected: u32, metadata: &Metadata) -> ForeignFileError {
    ForeignFileError::Loose { path: path.into(), expected, uid: metadata.uid(), mode: metadata.mode() & 0o7777 }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "7").unwrap();
        (folder, path)
    }

    fn number(path: &Path) -> Result<u32, ForeignFileError> {
        read(path, Owner::Folders, 8, |number| *number < 10)
    }

    #[test]
    fn a_file_of_its_folders_owner_is_read() {
        let (_folder, path) = folder();
        assert_eq!(number(&path).unwrap(), 7);
    }

    #[test]
    fn links_pipes_and_what_others_can_write_count_for_nothing() {
        let (folder, path) = folder();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(number(&link), Err(ForeignFileError::Read { .. })));
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(number(&pipe), Err(ForeignFileError::Loose { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert!(matches!(number(&path), Err(ForeignFileError::Loose { mode: 0o664, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(number(&path), Err(ForeignFileError::Loose { mode: 0o777, .. })));
    }

    #[test]
    fn another_users_file_counts_for_nothing() {
        if !nix::unistd::geteuid().is_root() {
            // Only root can give files away.
            return;
        }
        let (_folder, path) = folder();
        assert_eq!(read::<u32>(&path, Owner::Root, 8, |_| true).unwrap(), 7);
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        assert!(matches!(
            read::<u32>(&path, Owner::Root, 8, |_| true),
            Err(ForeignFileError::Loose { uid: 65_534, .. })
        ));
        assert!(matches!(number(&path), Err(ForeignFileError::Loose { uid: 65_534, expected: 0, .. })));
    }

    #[test]
    fn what_is_too_long_or_of_another_shape_counts_for_nothing() {
        let (_folder, path) = folder();
        for (content, is_shape) in [("123456789", false), ("11", true), ("seven", true)] {
            std::fs::write(&path, content).unwrap();
            let error = number(&path).unwrap_err();
            assert_eq!(matches!(error, ForeignFileError::Shape { .. }), is_shape, "{error}");
        }
    }
}
