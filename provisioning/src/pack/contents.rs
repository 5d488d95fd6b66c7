//! What goes into a bundle, in the order of the format.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::boundary::{Boundary, Envelope};
use casemate_protocol::bundle::appraisal::is_read_whole;
use casemate_protocol::bundle::archive::{MemberKind, Writer};
use casemate_protocol::bundle::manifest::{MAX_MANIFEST, Manifest};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::assignment::{Assignment, MAX_ASSIGNMENT};
use casemate_protocol::device::id::{ApplianceId, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::profile::boundary_role;
use casemate_protocol::tuf::role::{RoleName, Version};
use casemate_protocol::tuf::targets::TargetFile;
use thiserror::Error;

use crate::file::{self, FileError};
use crate::plan::object::Source;
use crate::repository::{RepositoryError, State};

/// Whom a bundle addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Everybody with a signed assignment.
    Everybody,
    /// These.
    Only(BTreeSet<ApplianceId>),
}

/// Why a bundle cannot be put together.
#[derive(Debug, Error)]
pub(crate) enum ContentsError {
    /// The repository cannot be read.
    #[error("the repository cannot be read")]
    Repository(#[from] RepositoryError),
    /// A file cannot be read.
    #[error("a file of the repository cannot be read")]
    File(#[from] FileError),
    /// No assignment of that appliance is signed.
    #[error("nothing signed addresses {0}")]
    NotAddressed(ApplianceId),
    /// Nobody is addressed at all.
    #[error("nothing signed addresses any of the appliances asked for")]
    Nobody,
    /// A target's content is not JSON of its kind.
    #[error("{path} cannot be read")]
    Shape {
        /// The target path.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Explain for ContentsError {
    fn code(&self) -> Code {
        match self {
            Self::Repository(error) => error.code(),
            Self::File(error) => error.code(),
            Self::NotAddressed(_) => Code::UnknownAppliance,
            Self::Nobody => Code::NotSigned,
            Self::Shape { .. } => Code::StateDamaged,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NotAddressed(id) => {
                format!("Confirm the words of {id} (`casemate appliance list`), then plan and sign.")
            }
            Self::Nobody => "Enrol and confirm an appliance, then plan and sign.".into(),
            Self::Repository(error) => error.remedy(),
            Self::File(error) => error.remedy(),
            Self::Shape { .. } => "Restore the repository from version control or backup.".into(),
        }
    }
}

/// One member of the archive.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// What it is.
    pub(crate) kind: MemberKind,
    /// Its bytes.
    pub(crate) source: Source,
}

/// A bundle before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// The members in order.
    pub(crate) members: Vec<Packed>,
    /// Whom it addresses.
    pub(crate) addressed: Vec<ApplianceId>,
    /// The timestamp's version.
    pub(crate) version: Version,
}

impl Contents {
    /// The bundle of what `state` publishes for `selection`, with every root from `since` on.
    ///
    /// # Errors
    /// A file cannot be read, or somebody selected is not addressed.
    pub(crate) fn of(state: &State, selection: &Selection, since: Version) -> Result<Self, ContentsError> {
        let assignments = assignments(state, selection)?;
        let mut collecting = Collecting { state, members: Vec::new() };
        collecting.top(since)?;
        collecting.objects(assignments.keys().map(Assignment::target_path), &state.targets.signed.targets)?;
        let owners: BTreeSet<Owner> = assignments.values().flat_map(Assignment::owners).collect();
        let bounded = assignments.values().any(|assignment| assignment.boundary.is_some());
        let roles: BTreeSet<RoleName> = owners.iter().map(Owner::role).chain(bounded.then(boundary_role)).collect();
        let mut listed: BTreeMap<String, TargetFile> = BTreeMap::new();
        for role in &roles {
            let Some(document) = state.delegated.get(role) else { continue };
            let kind = MemberKind::Metadata { role: role.clone(), version: document.signed.version };
            collecting.bytes(kind, document.raw.clone());
            listed.extend(document.signed.targets.clone());
        }
        let (mut manifests, files) = wanted(state, &assignments)?;
        manifests.extend(documents(&assignments));
        // A file that is somebody's manifest or boundary document too stands in both sections, so that a reader never takes one for the other.
        collecting.section(&(&manifests | &files), is_read_whole, &listed)?;
        collecting.section(&files, |path| !is_read_whole(path), &listed)?;
        Ok(Self {
            members: collecting.members,
            addressed: assignments.into_keys().collect(),
            version: state.timestamp.signed.version,
        })
    }

    /// The archive's length, bytes.
    pub(crate) fn length(&self) -> u64 {
        let members = self.members.iter().map(|member| Writer::size(member.source.length()));
        members.sum::<u64>() + Writer::end().len() as u64
    }
}

struct Collecting<'a> {
    state: &'a State,
    members: Vec<Packed>,
}

impl Collecting<'_> {
    fn bytes(&mut self, kind: MemberKind, raw: Vec<u8>) {
        self.members.push(Packed { kind, source: Source::Bytes(raw) });
    }

    fn top(&mut self, since: Version) -> Result<(), ContentsError> {
        for (version, raw) in self.state.roots(since)? {
            self.bytes(MemberKind::Metadata { role: RoleName::root(), version }, raw);
        }
        let state = self.state;
        let top = [
            (RoleName::timestamp(), state.timestamp.signed.version, &state.timestamp.raw),
            (RoleName::snapshot(), state.snapshot.signed.version, &state.snapshot.raw),
            (RoleName::targets(), state.targets.signed.version, &state.targets.raw),
        ];
        for (role, version, raw) in top {
            self.bytes(MemberKind::Metadata { role, version }, raw.clone());
        }
        Ok(())
    }

    /// The targets at `paths`, in that order.
    fn objects(
        &mut self,
        paths: impl Iterator<Item = String>,
        listed: &BTreeMap<String, TargetFile>,
    ) -> Result<(), ContentsError> {
        for path in paths {
            let Some(target) = listed.get(&path) else { continue };
            let (file, digest) = self.state.target_file(&path, target)?;
            let source = Source::Span { path: file, offset: 0, length: target.length };
            self.members.push(Packed { kind: MemberKind::Object { digest }, source });
        }
        Ok(())
    }

    /// One section: each content once, where the first of all listed paths that has it would stand.
    fn section(
        &mut self,
        wanted: &BTreeSet<String>,
        belongs: impl Fn(&str) -> bool,
        listed: &BTreeMap<String, TargetFile>,
    ) -> Result<(), ContentsError> {
        let digest = |path: &String| listed.get(path).and_then(|target| target.hashes.get("sha256"));
        let wanted: BTreeSet<_> = wanted.iter().filter_map(digest).collect();
        let mut seen = BTreeSet::new();
        let mut paths = Vec::new();
        for path in listed.keys().filter(|path| belongs(path)) {
            if let Some(digest) = digest(path).filter(|digest| wanted.contains(digest))
                && seen.insert(digest)
            {
                paths.push(path.clone());
            }
        }
        self.objects(paths.into_iter(), listed)
    }
}

/// The signed assignments of the selected appliances.
fn assignments(state: &State, selection: &Selection) -> Result<BTreeMap<ApplianceId, Assignment>, ContentsError> {
    let mut found = BTreeMap::new();
    for path in state.targets.signed.targets.keys() {
        let id = path.strip_prefix("appliances/").and_then(|name| name.strip_suffix(".json"));
        let Some(Ok(id)) = id.map(str::parse::<ApplianceId>) else { continue };
        if matches!(selection, Selection::Only(only) if !only.contains(&id)) {
            continue;
        }
        found.insert(id, read_json(state, &RoleName::targets(), path, MAX_ASSIGNMENT)?);
    }
    if let Selection::Only(only) = selection
        && let Some(absent) = only.iter().find(|id| !found.contains_key(*id))
    {
        return Err(ContentsError::NotAddressed(absent.clone()));
    }
    if found.is_empty() { Err(ContentsError::Nobody) } else { Ok(found) }
}

/// Target paths of the manifests the appliances follow, and of the parts these name.
fn wanted(
    state: &State,
    assignments: &BTreeMap<ApplianceId, Assignment>,
) -> Result<(BTreeSet<String>, BTreeSet<String>), ContentsError> {
    let (mut manifests, mut files) = (BTreeSet::new(), BTreeSet::new());
    for (id, assignment) in assignments {
        for owner in assignment.owners() {
            let candidates = [Manifest::appliance_target_path(&owner, id), Manifest::target_path(&owner)];
            let role = owner.role();
            let Some(path) = candidates.into_iter().find(|path| state.target(&role, path).is_some()) else { continue };
            if manifests.insert(path.clone()) {
                let manifest: Manifest = read_json(state, &role, &path, MAX_MANIFEST)?;
                files.extend(manifest.files.into_iter().flat_map(|file| file.parts).map(|part| part.target));
            }
        }
    }
    Ok((manifests, files))
}

/// Target paths of the boundary documents the appliances read.
fn documents(assignments: &BTreeMap<ApplianceId, Assignment>) -> BTreeSet<String> {
    let named = assignments.values().filter_map(|assignment| assignment.boundary.as_ref());
    named.flat_map(|name| [Envelope::TARGET.to_owned(), Boundary::target_path(name)]).collect()
}

fn read_json<T: serde::de::DeserializeOwned>(
    state: &State,
    role: &RoleName,
    path: &str,
    limit: u64,
) -> Result<T, ContentsError> {
    let unnamed = || RepositoryError::Unnamed { by: role.to_string(), what: path.to_owned() };
    let target = state.target(role, path).ok_or_else(unnamed)?;
    let (file, expected) = state.target_file(path, target)?;
    let raw = file::read(&file, limit)?;
    let found = Digest::of(&raw);
    if found != expected {
        let (expected, found) = (expected.to_string(), found.to_string());
        return Err(RepositoryError::Mismatch { path: file, by: role.to_string(), expected, found }.into());
    }
    serde_json::from_slice(&raw).map_err(|source| ContentsError::Shape { path: path.to_owned(), source })
}
