//! Where the repository's files stand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::{RoleName, Version};

use super::error::RepositoryError;
use crate::file::FileError;

/// A repository folder.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    root: PathBuf,
}

impl Place {
    /// The repository in `root`.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The metadata folder.
    pub(crate) fn metadata(&self) -> PathBuf {
        self.root.join("metadata")
    }

    /// The targets folder.
    pub(crate) fn targets(&self) -> PathBuf {
        self.root.join("targets")
    }

    /// The lock file.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join(".lock")
    }

    /// One version of a role.
    pub(crate) fn version(&self, role: &RoleName, version: Version) -> PathBuf {
        self.metadata().join(format!("{version}.{role}.json"))
    }

    /// The newest timestamp.
    pub(crate) fn timestamp(&self) -> PathBuf {
        self.metadata().join("timestamp.json")
    }

    /// A target's file: its digest before its name, in its own folder.
    pub(crate) fn target(&self, path: &str, digest: &Digest) -> PathBuf {
        let path = Path::new(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.targets().join(path.with_file_name(format!("{digest}.{name}")))
    }

    /// Every version on disk, published or not, by role.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn versions(&self) -> Result<BTreeMap<RoleName, Vec<Version>>, RepositoryError> {
        let folder = self.metadata();
        let mut versions: BTreeMap<RoleName, Vec<Version>> = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(FileError::read(&folder))? {
            let entry = entry.map_err(FileError::read(&folder))?;
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|name| name.split_once('.'));
            if let Some((number, role)) = parts
                && let Some(version) = number.parse().ok().and_then(Version::new)
                && let Ok(role) = RoleName::strict(role)
            {
                versions.entry(role).or_default().push(version);
            }
        }
        for list in versions.values_mut() {
            list.sort();
        }
        Ok(versions)
    }
}
