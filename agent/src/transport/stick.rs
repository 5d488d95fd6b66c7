//! Sticks: a folder with `in/*.casemate` for us and `out/` for what we say.
//!
//! Whoever mounts it does so read-only, nosuid, nodev and noexec for reading; this module only lists names. What is
//! in the files is the sandboxed reader's business.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use thiserror::Error;

use crate::exit::OUT_OF_SIGHT;

/// How bundle files end.
const EXTENSION: &str = "casemate";
/// Bundles looked at on one stick; more is not how anybody works.
const MAX_BUNDLES: usize = 256;

/// Why nothing can be imported from a place.
#[derive(Debug, Error)]
pub enum StickError {
    /// Not there, or not readable.
    #[error("cannot read {path}")]
    Unreadable {
        /// The place.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Neither a file nor a folder: a pipe would be read for ever.
    #[error("{0} is neither a file nor a folder")]
    Special(PathBuf),
    /// No bundles.
    #[error("there is no *.{EXTENSION} file in {0}")]
    Empty(PathBuf),
    /// More than anybody carries.
    #[error("{path} holds {found} bundles, at most {MAX_BUNDLES} are looked at")]
    TooMany {
        /// The place.
        path: PathBuf,
        /// How many.
        found: usize,
    },
}

impl Explain for StickError {
    fn code(&self) -> Code {
        match self {
            Self::Unreadable { .. } | Self::Special(_) | Self::Empty(_) => Code::InputUnreadable,
            Self::TooMany { .. } => Code::TooLarge,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Unreadable { .. } => OUT_OF_SIGHT.into(),
            Self::Empty(_) => "Name the bundle, its folder, or a stick whose bundles lie in `in/`.".into(),
            Self::Special(_) | Self::TooMany { .. } => self.code().remedy().into(),
        }
    }
}

/// A place bundles are imported from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Bundle files, by name.
    pub bundles: Vec<PathBuf>,
    /// The stick's root, if it is one: receipts go to its `out/`.
    pub stick: Option<PathBuf>,
}

/// Finds the bundles at `path`: a file, a folder of `*.casemate` files, or a stick with `in/`.
///
/// # Errors
/// The place cannot be read, or holds no bundle.
pub fn find(path: &Path) -> Result<Source, StickError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| StickError::Unreadable { path, source }
    };
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    if metadata.is_file() {
        return Ok(Source { bundles: vec![path.into()], stick: None });
    }
    if !metadata.is_dir() {
        return Err(StickError::Special(path.into()));
    }
    let inbox = path.join("in");
    let (folder, stick) = if inbox.is_dir() { (inbox, Some(path.to_owned())) } else { (path.to_owned(), None) };
    let mut bundles = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable(&folder))? {
        let entry = entry.map_err(unreadable(&folder))?;
        let file = entry.path();
        let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
        if regular && file.extension().is_some_and(|extension| extension == EXTENSION) {
            bundles.push(file);
        }
    }
    if bundles.is_empty() {
        return Err(StickError::Empty(folder));
    }
    if bundles.len() > MAX_BUNDLES {
        return Err(StickError::TooMany { path: folder, found: bundles.len() });
    }
    bundles.sort();
    Ok(Source { bundles, stick })
}

/// What a stick's inbox looks like, so that it is imported once and again only when something changed.
///
/// Names, lengths, inodes and times; contents are not read. A file that is still being copied changes between two
/// looks and is imported when it has come to rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory(BTreeMap<PathBuf, (u64, u64, i64, i64)>);

impl Inventory {
    /// Looks at the stick. No stick, or an unreadable one, looks like an empty one.
    #[must_use]
    pub fn take(stick: &Path) -> Self {
        let Ok(source) = find(stick) else {
            return Self::default();
        };
        let look = |path: PathBuf| {
            let metadata = fs::metadata(&path).ok()?;
            Some((path, (metadata.len(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec())))
        };
        Self(source.bundles.into_iter().filter_map(look).collect())
    }

    /// Nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stick(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        folder
    }

    #[test]
    fn a_stick_a_folder_and_a_file_are_all_places_to_import_from() {
        let folder = stick(&["in/b.casemate", "in/a.casemate", "in/readme.txt", "other.casemate"]);
        let root = folder.path();
        let source = find(root).unwrap();
        assert_eq!(source.bundles, [root.join("in/a.casemate"), root.join("in/b.casemate")]);
        assert_eq!(source.stick.as_deref(), Some(root));
        let source = find(&root.join("in")).unwrap();
        assert_eq!((source.bundles.len(), source.stick), (2, None));
        let source = find(&root.join("other.casemate")).unwrap();
        assert_eq!((source.bundles.len(), source.stick), (1, None));
    }

    #[test]
    fn links_and_pipes_on_a_stick_are_not_followed() {
        let folder = stick(&["in/a.casemate", "secret"]);
        std::os::unix::fs::symlink("../secret", folder.path().join("in/b.casemate")).unwrap();
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&folder.path().join("in/c.casemate"), mode).unwrap();
        assert_eq!(find(folder.path()).unwrap().bundles, [folder.path().join("in/a.casemate")]);
        assert!(matches!(find(&folder.path().join("in/c.casemate")), Err(StickError::Special(_))));
    }

    #[test]
    fn a_place_without_bundles_says_so() {
        let folder = stick(&["in/readme.txt"]);
        assert!(matches!(find(folder.path()), Err(StickError::Empty(_))));
        assert!(matches!(find(&folder.path().join("none")), Err(StickError::Unreadable { .. })));
    }

    #[test]
    fn an_inventory_changes_with_what_is_on_the_stick() {
        let folder = stick(&["in/a.casemate"]);
        let first = Inventory::take(folder.path());
        assert_eq!(Inventory::take(folder.path()), first);
        fs::write(folder.path().join("in/a.casemate"), b"xy").unwrap();
        let second = Inventory::take(folder.path());
        assert_ne!(second, first);
        fs::write(folder.path().join("in/b.casemate"), b"x").unwrap();
        assert_ne!(Inventory::take(folder.path()), second);
        assert!(Inventory::take(&folder.path().join("gone")).is_empty());
    }
}
