//! Files read with a cap and written so that a power cut leaves the old or the new content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use thiserror::Error;

/// A file that could not be read or written.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    /// Reading failed.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is there already and must not be replaced.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// It is longer than what is read of its kind.
    #[error("{path} is longer than {limit} bytes")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}

impl Explain for FileError {
    fn code(&self) -> Code {
        match self {
            Self::Read { .. } => Code::InputUnreadable,
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => Code::DiskFull,
            Self::Write { .. } => Code::StateUnavailable,
            Self::Exists(_) => Code::Exists,
            Self::TooLarge { .. } => Code::TooLarge,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Write { path, source } if source.kind() == io::ErrorKind::StorageFull => {
                format!("Free some space on the disk that holds {} and run the command again.", path.display())
            }
            Self::Write { path, .. } => {
                format!("Check that the folder of {} exists and that you may write there.", path.display())
            }
            Self::Read { path, .. } => format!("Check that {} exists and that you may read it.", path.display()),
            Self::Exists(path) => format!("Choose another name, or move {} away first.", path.display()),
            Self::TooLarge { path, .. } => format!("Check that {} is the file you mean.", path.display()),
        }
    }
}

impl FileError {
    /// Reading `path` failed.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    /// Writing `path` failed.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// The whole content of a file of at most `limit` bytes.
///
/// # Errors
/// Unreadable, or longer.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(FileError::read(path))?;
    file.take(limit + 1).read_to_end(&mut content).map_err(FileError::read(path))?;
    if content.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(content)
}

/// As [`read`], `None` where there is no such file. Any other trouble stays an error: a file that cannot be read is
/// not a file that is not there.
pub(crate) fn read_if_any(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    match read(path, limit) {
        Ok(content) => Ok(Some(content)),
        Err(FileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Whoever the umask lets.
    Everybody,
    /// The owner alone (0600).
    Owner,
}

/// Makes a file that was not there.
///
/// # Errors
/// It is there already, or writing fails.
///
/// # Durability
/// Content and name are on disk when this returns.
pub(crate) fn create(path: &Path, content: &[u8], audience: Audience) -> Result<(), FileError> {
    let temporary = write_temporary(path, content, audience)?;
    // A link, unlike a rename, fails if the name is taken: nobody's file is lost to a race.
    let linked = fs::hard_link(&temporary, path);
    let linked = match linked {
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
            reserve_and_rename(&temporary, path)
        }
        other => other,
    };
    let _ = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(FileError::Exists(path.to_owned())),
        other => other.map_err(FileError::write(path)),
    }?;
    sync_folder_of(path)
}

/// For file systems without links, such as a stick's FAT: takes the name first, which also fails if it is taken.
fn reserve_and_rename(temporary: &Path, path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    fs::rename(temporary, path)
}

/// Puts `content` in the place of whatever is there.
///
/// # Errors
/// Writing fails; the old content then stands.
///
/// # Durability
/// The new content is on disk when this returns.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = write_temporary(path, content, Audience::Everybody)?;
    fs::rename(&temporary, path).map_err(FileError::write(path))?;
    sync_folder_of(path)
}

fn write_temporary(path: &Path, content: &[u8], audience: Audience) -> Result<PathBuf, FileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let mode = if audience == Audience::Owner { 0o600 } else { 0o666 };
    let write = || {
        // Left behind by a process of the same number that died.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(FileError::write(path))?;
    Ok(temporary)
}

/// Makes a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::write(path))
}

/// Makes the names in the folder that holds `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::write(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_exists_is_never_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        create(&path, b"old", Audience::Everybody).unwrap();
        assert!(matches!(create(&path, b"new", Audience::Everybody), Err(FileError::Exists(_))));
        assert_eq!(read(&path, 9).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn without_links_a_file_that_exists_is_not_replaced_either() {
        let folder = tempfile::tempdir().unwrap();
        let (temporary, path) = (folder.path().join("t"), folder.path().join("a"));
        replace(&temporary, b"new").unwrap();
        reserve_and_rename(&temporary, &path).unwrap();
        assert_eq!(read(&path, 9).unwrap(), b"new");
        replace(&temporary, b"newer").unwrap();
        assert_eq!(reserve_and_rename(&temporary, &path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path, 9).unwrap(), b"new");
    }

    #[test]
    fn a_file_for_its_owner_is_readable_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"secret", Audience::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_longer_file_than_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, b"12345").unwrap();
        assert!(matches!(read(&path, 4), Err(FileError::TooLarge { .. })));
        assert!(read_if_any(&folder.path().join("b"), 4).unwrap().is_none());
    }
}
