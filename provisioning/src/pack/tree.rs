//! The published repository as a folder of files, for any server of static files.
//!
//! A file is there whole before anything names it, and `timestamp.json` comes last: whoever asks at any moment finds the
//! state before or the state after. Files older states named stay for those who are still reading them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::signed::Unverified;
use casemate_protocol::tuf::role::{RoleName, Version};
use thiserror::Error;

use crate::file::{self, FileError};
use crate::repository::{Place, RepositoryError, State};
use crate::site::folder::digest_of;

/// Longest metadata file of a folder that is read, bytes.
const MAX_METADATA: u64 = 256 * 1024 * 1024;

/// Why a tree was not written. What was served before still is.
#[derive(Debug, Error)]
pub(crate) enum TreeError {
    /// The repository cannot be read.
    #[error("the repository cannot be read")]
    Repository(#[from] RepositoryError),
    /// A file cannot be read or written.
    #[error("the folder cannot be written")]
    File(#[from] FileError),
    /// The folder holds something newer.
    #[error("{} is version {found}, this repository's is {ours}", path.display())]
    Older {
        /// The folder's timestamp.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        ours: Version,
    },
}

impl Explain for TreeError {
    fn code(&self) -> Code {
        match self {
            Self::Repository(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Older { .. } => Code::MetadataRollback,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Repository(error) => error.remedy(),
            Self::File(error) => error.remedy(),
            Self::Older { path, .. } => {
                format!("Pack from the newest repository, or into another folder than that of {}.", path.display())
            }
        }
    }
}

/// What becomes of files that nothing names any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// They stay.
    Kept,
    /// They go, unless the state that was served before names them.
    Pruned,
}

/// A written tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    /// Files that were not there, or were not what they should be.
    pub(crate) written: usize,
    /// Their bytes.
    pub(crate) length: u64,
    /// Files that were there already.
    pub(crate) kept: usize,
    /// Files that were taken away.
    pub(crate) pruned: usize,
}

/// One file of the tree: where it stands in the repository, and below the folder.
struct Entry {
    source: PathBuf,
    path: PathBuf,
    digest: Digest,
}

/// Writes what `state` publishes into `folder`.
///
/// # Errors
/// The folder holds a newer state, or reading or writing fails.
///
/// # Durability
/// Everything is on disk when this returns; before that the folder serves the old state or the new one, whole.
pub(crate) fn publish(
    state: &State,
    folder: &Path,
    unnamed: Unnamed,
    seen: &mut dyn FnMut(u64),
) -> Result<Published, TreeError> {
    let place = Place::new(folder.to_owned());
    let before = file::read_if_any(&place.timestamp(), MAX_METADATA)?;
    let ours = state.timestamp.signed.version;
    if let Some(found) = before.as_deref().and_then(version).filter(|found| *found > ours.get()) {
        return Err(TreeError::Older { path: place.timestamp(), found, ours });
    }
    let mut published = Published::default();
    let mut folders = BTreeSet::new();
    for entry in entries(state, &place)? {
        let length = fs::metadata(&entry.source).map_err(FileError::read(&entry.source))?.len();
        if entry.path.is_file() && digest_of(&entry.path)? == entry.digest {
            published.kept += 1;
        } else {
            copy(&entry, &mut folders)?;
            published.written += 1;
            published.length += length;
        }
        seen(length);
    }
    // Bottom up, and none above the one that was asked for.
    for folder in folders.iter().rev().filter(|path| path.starts_with(folder)) {
        file::sync_folder_of(&folder.join("x"))?;
    }
    if before.as_deref() == Some(&state.timestamp.raw) {
        published.kept += 1;
    } else {
        file::replace(&place.timestamp(), &state.timestamp.raw)?;
        readable(&place.timestamp())?;
        published.written += 1;
    }
    if unnamed == Unnamed::Pruned {
        let mut named = named(&place, &state.timestamp.raw)?;
        // Whoever read that a moment ago still asks for what it names.
        named.extend(before.map(|raw| self::named(&place, &raw)).transpose()?.into_iter().flatten());
        published.pruned = prune(&place, &named)?;
    }
    Ok(published)
}

/// The version a timestamp says it has: it only guards against a mistake.
fn version(raw: &[u8]) -> Option<u64> {
    Unverified::parse(raw).ok()?.signed()["version"].as_u64()
}

/// Every file but the timestamp: targets first, then metadata from the roots to the snapshot.
fn entries(state: &State, place: &Place) -> Result<Vec<Entry>, TreeError> {
    let mut entries = Vec::new();
    for document in std::iter::once(&state.targets).chain(state.delegated.values()) {
        for (target, described) in &document.signed.targets {
            let (source, digest) = state.target_file(target, described)?;
            entries.push(Entry { source, path: place.target(target, &digest), digest });
        }
    }
    let mut metadata = |role: &RoleName, version, raw: &[u8]| {
        let (source, path) = (state.place.version(role, version), place.version(role, version));
        entries.push(Entry { source, path, digest: Digest::of(raw) });
    };
    for (version, raw) in state.roots(Version::FIRST)? {
        metadata(&RoleName::root(), version, &raw);
    }
    for (role, document) in &state.delegated {
        metadata(role, document.signed.version, &document.raw);
    }
    metadata(&RoleName::targets(), state.targets.signed.version, &state.targets.raw);
    metadata(&RoleName::snapshot(), state.snapshot.signed.version, &state.snapshot.raw);
    Ok(entries)
}

/// A copy, not a link: the folder is another user's to read, and nothing there changes the site.
fn copy(entry: &Entry, folders: &mut BTreeSet<PathBuf>) -> Result<(), TreeError> {
    let Entry { source, path, digest } = entry;
    let folder = path.parent().unwrap_or(path);
    file::create_folder(folder)?;
    folders.extend(folder.ancestors().take(16).map(Path::to_owned));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let copied = || -> Result<(), TreeError> {
        fs::copy(source, &temporary).map_err(FileError::write(path))?;
        readable(&temporary)?;
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(FileError::write(path))?;
        let found = digest_of(&temporary)?;
        if found == *digest {
            return Ok(fs::rename(&temporary, path).map_err(FileError::write(path))?);
        }
        let (expected, found) = (digest.to_string(), found.to_string());
        Err(RepositoryError::Mismatch { path: source.clone(), by: "signed metadata".into(), expected, found }.into())
    };
    copied().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// The server runs as another user. Nothing in a repository is secret from those whom it lets in.
fn readable(path: &Path) -> Result<(), FileError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(FileError::write(path))
}

/// Every file below `place` that the state of `timestamp` names, itself and the roots not counted.
fn named(place: &Place, timestamp: &[u8]) -> Result<BTreeSet<PathBuf>, TreeError> {
    let mut named = BTreeSet::new();
    let mut queue = vec![timestamp.to_vec()];
    while let Some(raw) = queue.pop() {
        // What cannot be read names nothing.
        let Ok(document) = Unverified::parse(&raw) else { continue };
        let signed = document.signed();
        for (name, meta) in signed["meta"].as_object().into_iter().flatten() {
            let role = name.strip_suffix(".json").and_then(|name| RoleName::strict(name).ok());
            let version = meta["version"].as_u64().and_then(Version::new);
            let Some(path) = role.zip(version).map(|(role, version)| place.version(&role, version)) else { continue };
            queue.extend(file::read_if_any(&path, MAX_METADATA)?);
            named.insert(path);
        }
        for (target, described) in signed["targets"].as_object().into_iter().flatten() {
            let digest = described["hashes"]["sha256"].as_str().and_then(|digest| digest.parse().ok());
            named.extend(digest.map(|digest| place.target(target, &digest)));
        }
    }
    Ok(named)
}

/// Takes away what is neither a root nor the timestamp nor `named`: files with a repository's names only.
fn prune(place: &Place, named: &BTreeSet<PathBuf>) -> Result<usize, TreeError> {
    let mut old = Vec::new();
    for (role, versions) in place.versions()? {
        if role != RoleName::root() {
            old.extend(versions.into_iter().map(|version| place.version(&role, version)));
        }
    }
    let mut folders = vec![place.targets()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(FileError::read(&folder))? {
            let entry = entry.map_err(FileError::read(&folder))?;
            let kind = entry.file_type().map_err(FileError::read(&folder))?;
            let is_target = || {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.split_once('.').is_some_and(|(digest, _)| digest.parse::<Digest>().is_ok())
            };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && is_target() {
                old.push(entry.path());
            }
        }
    }
    old.retain(|path| !named.contains(path));
    for path in &old {
        fs::remove_file(path).map_err(FileError::write(path))?;
    }
    Ok(old.len())
}
