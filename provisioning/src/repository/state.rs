//! What the repository publishes now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use casemate_protocol::digest::Digest;
use casemate_protocol::signed::Unverified;
use casemate_protocol::tuf::role::{RoleName, Version};
use casemate_protocol::tuf::root::{Profile, Root};
use casemate_protocol::tuf::snapshot::{MetaFile, Snapshot};
use casemate_protocol::tuf::targets::{TargetFile, Targets};
use casemate_protocol::tuf::timestamp::Timestamp;
use casemate_protocol::verify::Persons;
use serde::de::DeserializeOwned;

use super::error::RepositoryError;
use super::place::Place;
use crate::file;

/// Longest metadata file of our own that is read, bytes.
const MAX_METADATA: u64 = 256 * 1024 * 1024;

/// One metadata file: its bytes and what they say. Signatures are for `check` to judge; here only the digests that
/// hold the files together are.
#[derive(Clone, Debug)]
pub(crate) struct Document<T> {
    /// The exact bytes.
    pub(crate) raw: Vec<u8>,
    /// The signed part.
    pub(crate) signed: T,
}

/// What the repository publishes now.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Where it stands.
    pub(crate) place: Place,
    /// The newest root.
    pub(crate) root: Document<Root>,
    /// The newest timestamp.
    pub(crate) timestamp: Document<Timestamp>,
    /// The snapshot it names.
    pub(crate) snapshot: Document<Snapshot>,
    /// The targets that names.
    pub(crate) targets: Document<Targets>,
    /// The roles targets delegates to and the snapshot names.
    pub(crate) delegated: BTreeMap<RoleName, Document<Targets>>,
    /// The highest version on disk by role, published or not.
    pub(crate) highest: BTreeMap<RoleName, Version>,
}

impl State {
    /// Reads the repository at `place`.
    ///
    /// # Errors
    /// A file is absent, malformed or not what the file naming it says.
    pub(crate) fn read(place: Place) -> Result<Self, RepositoryError> {
        let versions = place.versions()?;
        let highest: BTreeMap<_, _> =
            versions.into_iter().filter_map(|(role, list)| Some((role, *list.last()?))).collect();
        let root = newest_root(&place, &highest)?;
        let timestamp: Document<Timestamp> = document(&place.timestamp(), None)?;
        let meta = timestamp.signed.meta.get("snapshot.json");
        let meta = meta.ok_or_else(|| unnamed("timestamp.json", "snapshot.json"))?;
        let snapshot: Document<Snapshot> = named(&place, &RoleName::snapshot(), "timestamp.json", meta)?;
        let listed = |role: &RoleName| {
            let meta = snapshot.signed.meta.get(&role.meta_name());
            meta.ok_or_else(|| unnamed("the snapshot", &role.meta_name()))
        };
        let targets: Document<Targets> =
            named(&place, &RoleName::targets(), "the snapshot", listed(&RoleName::targets())?)?;
        let mut delegated = BTreeMap::new();
        for role in targets.signed.delegations.iter().flat_map(|delegations| &delegations.roles) {
            delegated.insert(role.name.clone(), named(&place, &role.name, "the snapshot", listed(&role.name)?)?);
        }
        Ok(Self { place, root, timestamp, snapshot, targets, delegated, highest })
    }

    /// The profile the root binds.
    ///
    /// # Errors
    /// The root is foreign.
    pub(crate) fn profile(&self) -> Result<&Profile, RepositoryError> {
        self.root.signed.profile.as_ref().ok_or(RepositoryError::NoProfile)
    }

    /// How signatures are counted under this root.
    ///
    /// # Errors
    /// As [`Self::profile`].
    pub(crate) fn persons(&self) -> Result<Persons<'_>, RepositoryError> {
        let profile = self.profile()?;
        Ok(if profile.demo { Persons::Ignored } else { Persons::Distinct(&profile.persons) })
    }

    /// SHA-256 of the newest timestamp: names this state.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.timestamp.raw)
    }

    /// Raw roots from version `first` to the newest.
    ///
    /// # Errors
    /// One of them is absent.
    pub(crate) fn roots(&self, first: Version) -> Result<Vec<(Version, Vec<u8>)>, RepositoryError> {
        let versions = (first.get()..=self.root.signed.version.get()).filter_map(Version::new);
        let read = |version| {
            let path = self.place.version(&RoleName::root(), version);
            Ok((version, file::read(&path, MAX_METADATA)?))
        };
        versions.map(read).collect()
    }

    /// A published target of `role`, if it lists one.
    pub(crate) fn target(&self, role: &RoleName, path: &str) -> Option<&TargetFile> {
        let document = if *role == RoleName::targets() { Some(&self.targets) } else { self.delegated.get(role) };
        document.and_then(|document| document.signed.targets.get(path))
    }

    /// The file of a published target.
    ///
    /// # Errors
    /// The metadata gives it no SHA-256.
    pub(crate) fn target_file(&self, path: &str, target: &TargetFile) -> Result<(PathBuf, Digest), RepositoryError> {
        let digest = target.hashes.get("sha256").and_then(|digest| digest.parse().ok());
        let digest: Digest = digest.ok_or_else(|| unnamed("targets metadata", &format!("a SHA-256 of {path}")))?;
        Ok((self.place.target(path, &digest), digest))
    }
}

fn newest_root(place: &Place, highest: &BTreeMap<RoleName, Version>) -> Result<Document<Root>, RepositoryError> {
    let version = highest.get(&RoleName::root()).ok_or_else(|| RepositoryError::NoRoot(place.metadata()))?;
    document(&place.version(&RoleName::root(), *version), None)
}

fn unnamed(by: &str, what: &str) -> RepositoryError {
    RepositoryError::Unnamed { by: by.into(), what: what.into() }
}

fn named<T: DeserializeOwned>(
    place: &Place,
    role: &RoleName,
    by: &str,
    meta: &MetaFile,
) -> Result<Document<T>, RepositoryError> {
    let expected = meta.hashes.get("sha256").ok_or_else(|| unnamed(by, &format!("a SHA-256 of {role}")))?;
    document(&place.version(role, meta.version), Some((by, expected)))
}

fn document<T: DeserializeOwned>(
    path: &Path,
    expected: Option<(&str, &String)>,
) -> Result<Document<T>, RepositoryError> {
    let raw = file::read(path, MAX_METADATA)?;
    if let Some((by, expected)) = expected {
        let found = Digest::of(&raw).to_string();
        if found != *expected {
            let (by, expected) = (by.to_owned(), expected.clone());
            return Err(RepositoryError::Mismatch { path: path.to_owned(), by, expected, found });
        }
    }
    let parsed =
        Unverified::parse(&raw).map_err(|source| RepositoryError::Malformed { path: path.to_owned(), source })?;
    let signed =
        T::deserialize(parsed.signed()).map_err(|source| RepositoryError::Shape { path: path.to_owned(), source })?;
    Ok(Document { raw, signed })
}
