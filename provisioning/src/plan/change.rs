//! What a plan changes, in words: file by file, and appliance by appliance.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::bundle::manifest::{FileEntry, MAX_MANIFEST, Manifest};
use casemate_protocol::bundle::part::object_id;
use casemate_protocol::device::assignment::{Assignment, MAX_ASSIGNMENT};
use casemate_protocol::device::id::{ApplianceId, Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::RoleName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::boundary::{self, Boundaries, Step};
use super::compose::Composition;
use super::object::{Objects, Source};
use super::setting;
use crate::authority::transport;
use crate::file::{self, FileError};
use crate::output::bytes;
use crate::repository::{RepositoryError, State};

/// Longest text shown as a diff, bytes; longer ones are only named.
const MAX_DIFF: u64 = 256 * 1024;

/// One file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// The group.
    pub(crate) group: Name,
    /// The appliances it is about; none = every appliance of the group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) appliances: Vec<ApplianceId>,
    /// The file's path on appliances.
    pub(crate) path: String,
    /// `added`, `changed` or `removed`.
    pub(crate) kind: &'static str,
    /// What it was and is, in bytes; of the first appliance, where there are several.
    pub(crate) length: (u64, u64),
    /// A unified diff of short texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) diff: Option<String>,
    /// What it was and is, by content.
    #[serde(skip)]
    objects: (Option<Digest>, Option<Digest>),
}

impl Change {
    /// One line: `changed  clinics: synapse/homeserver.yaml on lux-001 (1.2 KiB -> 1.3 KiB)`.
    pub(crate) fn line(&self) -> String {
        let (before, after) = (bytes(self.length.0), bytes(self.length.1));
        let size = match self.kind {
            "added" => after,
            "removed" => before,
            _ => format!("{before} -> {after}"),
        };
        format!("{:8} {}{} ({size})", self.kind, self.name(), self.whose())
    }

    /// `clinics: synapse/homeserver.yaml`.
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.group, self.path)
    }

    /// ` on lux-001, lux-002`; nothing if it is about the whole group.
    pub(crate) fn whose(&self) -> String {
        if self.appliances.is_empty() { String::new() } else { format!(" on {}", few(&self.appliances)) }
    }

    /// Whether a reader would tell `other` in the same breath.
    fn is_told_with(&self, other: &Self) -> bool {
        let same_diff = self.diff.is_some() && self.diff == other.diff;
        (&self.group, &self.path, self.kind) == (&other.group, &other.path, other.kind)
            && (same_diff || self.objects == other.objects)
    }
}

/// The first few of a list, and how many more there are.
pub(crate) fn few(ids: &[ApplianceId]) -> String {
    const SHOWN: usize = 6;
    let names: Vec<_> = ids.iter().take(SHOWN).map(Name::as_str).collect();
    let more = ids.len().saturating_sub(SHOWN);
    if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
}

/// Tells what is the same for several appliances once, and what is the same for all of a group's as the group's.
fn merged(changes: Vec<Change>, planned: &Manifests) -> Vec<Change> {
    let mut told: Vec<Change> = Vec::new();
    let mut last_of: BTreeMap<(Name, String), Vec<usize>> = BTreeMap::new();
    for change in changes {
        let same = last_of.entry((change.group.clone(), change.path.clone())).or_default();
        match same.iter().find(|index| told[**index].is_told_with(&change)) {
            Some(index) => told[*index].appliances.extend(change.appliances),
            None => {
                same.push(told.len());
                told.push(change);
            }
        }
    }
    for change in &mut told {
        let own = planned.keys().filter(|(group, id)| *group == change.group && id.is_some()).count();
        if !planned.contains_key(&(change.group.clone(), None)) && change.appliances.len() == own {
            change.appliances.clear();
        }
    }
    told.sort_by(|one, two| (&one.group, &one.path, &one.appliances).cmp(&(&two.group, &two.path, &two.appliances)));
    told
}

/// What becomes of one appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Affected {
    /// Which.
    pub(crate) appliance: ApplianceId,
    /// What changes for it, in words.
    pub(crate) what: String,
}

/// Everything a plan changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    /// File by file.
    pub(crate) files: Vec<Change>,
    /// Groups that get another manifest.
    pub(crate) groups: BTreeSet<Name>,
    /// What becomes of a group beside its files, in words.
    pub(crate) settings: Vec<(Name, String)>,
    /// Appliance by appliance.
    pub(crate) affected: Vec<Affected>,
    /// Groups that go.
    pub(crate) removed_groups: Vec<Name>,
    /// What becomes of boundaries.
    pub(crate) boundaries: Vec<Step>,
}

impl Changes {
    /// Who is affected, in lines of those for whom it is the same.
    pub(crate) fn affected_lines(&self) -> Vec<String> {
        let mut by_what: BTreeMap<&str, Vec<ApplianceId>> = BTreeMap::new();
        for one in &self.affected {
            by_what.entry(&one.what).or_default().push(one.appliance.clone());
        }
        by_what.into_iter().map(|(what, ids)| format!("{}: {what}", few(&ids))).collect()
    }
}

/// The manifests of one state: those for everybody under `None`.
type Manifests = BTreeMap<(Name, Option<ApplianceId>), Manifest>;

/// What is published, as far as it can be compared.
struct Published<'a> {
    state: &'a State,
    manifests: Manifests,
    assignments: BTreeMap<ApplianceId, Assignment>,
    boundaries: Boundaries,
}

/// Compares `composition` with what `state` publishes.
///
/// # Errors
/// A published file cannot be read.
pub(crate) fn compare(state: &State, composition: &Composition) -> Result<Changes, RepositoryError> {
    let published = Published::read(state)?;
    let planned: Manifests = composition
        .groups
        .iter()
        .flat_map(|(group, rendered)| {
            let base = rendered.base.iter().map(|base| ((group.clone(), None), base.clone()));
            let own = rendered.own.iter().map(|(id, own)| ((group.clone(), Some(id.clone())), own.clone()));
            base.chain(own).collect::<Vec<_>>()
        })
        .collect();
    let mut files = Vec::new();
    for key in published.manifests.keys().chain(planned.keys()).collect::<BTreeSet<_>>() {
        published.compare_files(key, planned.get(key), &composition.objects, &mut files)?;
    }
    let affected = published.affected(composition);
    let gone = |group: &&Name| !composition.groups.contains_key(*group);
    let removed_groups: BTreeSet<_> =
        published.manifests.keys().map(|(group, _)| group).filter(gone).cloned().collect();
    let groups: BTreeSet<_> = planned
        .iter()
        .filter(|(key, manifest)| published.manifests.get(*key) != Some(*manifest))
        .map(|((group, _), _)| group.clone())
        .collect();
    let of = |manifests: &Manifests, group: &Name| {
        manifests.iter().find(|((name, _), _)| name == group).map(|(_, manifest)| manifest.clone())
    };
    let settings = groups.iter().flat_map(|group| {
        let (old, new) = (of(&published.manifests, group), of(&planned, group));
        let lines = new.map_or_else(Vec::new, |new| setting::differences(old.as_ref(), &new));
        lines.into_iter().map(|line| (group.clone(), line)).collect::<Vec<_>>()
    });
    let settings = settings.collect();
    let files = merged(files, &planned);
    let boundaries = boundary::steps(
        (&published.boundaries, &published.assignments),
        (&composition.boundaries, &composition.assignments),
    );
    let removed_groups = removed_groups.into_iter().collect();
    Ok(Changes { files, groups, settings, affected, removed_groups, boundaries })
}

impl<'a> Published<'a> {
    fn read(state: &'a State) -> Result<Self, RepositoryError> {
        let mut manifests = Manifests::new();
        for (role, document) in &state.delegated {
            let Ok(Owner::Group(group)) = role.as_str().parse() else { continue };
            let tree = Owner::Group(group.clone()).tree();
            for path in document.signed.targets.keys().filter_map(|path| path.strip_prefix(&tree)) {
                let appliance = match path.split('/').collect::<Vec<_>>().as_slice() {
                    ["", "manifest.json"] => None,
                    ["", "appliances", id, "manifest.json"] => id.parse().ok(),
                    _ => continue,
                };
                let manifest = read_json(state, role, &format!("{tree}{path}"), MAX_MANIFEST)?;
                manifests.insert((group.clone(), appliance), manifest);
            }
        }
        let mut assignments = BTreeMap::new();
        for path in state.targets.signed.targets.keys() {
            let id = path.strip_prefix("appliances/").and_then(|name| name.strip_suffix(".json"));
            if let Some(Ok(id)) = id.map(str::parse::<Name>) {
                assignments.insert(id, read_json(state, &RoleName::targets(), path, MAX_ASSIGNMENT)?);
            }
        }
        Ok(Self { state, manifests, assignments, boundaries: boundary::published(state)? })
    }

    fn compare_files(
        &self,
        key: &(Name, Option<ApplianceId>),
        planned: Option<&Manifest>,
        objects: &Objects,
        changes: &mut Vec<Change>,
    ) -> Result<(), RepositoryError> {
        // An appliance's first own manifest is compared with the one it followed until now.
        let before = self.manifests.get(key).or_else(|| planned.and(self.manifests.get(&(key.0.clone(), None))));
        let by_path = |manifest: Option<&Manifest>| -> BTreeMap<_, _> {
            let files = manifest.into_iter().flat_map(|manifest| &manifest.files);
            files.map(|file| (file.path.as_str().to_owned(), file.clone())).collect()
        };
        // Where both old and new are shared, the change is told once, for the group.
        let shared = |file: &FileEntry| !file.parts.iter().any(|part| part.target.contains("/appliances/"));
        let told = key.1.is_some();
        let (old, new) = (by_path(before), by_path(planned));
        for path in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (old.get(path), new.get(path));
            let same = old.zip(new).is_some_and(|(old, new)| object_id(&old.parts) == object_id(&new.parts));
            let has_base = self.manifests.contains_key(&(key.0.clone(), None));
            let both_shared = told && has_base && old.is_none_or(shared) && new.is_none_or(shared);
            if same || both_shared {
                continue;
            }
            let kind = match (old, new) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            };
            let length = (old.map_or(0, |file| file.length), new.map_or(0, |file| file.length));
            let diff = self.diff(&key.0, old, new, objects)?;
            let (group, appliance) = key.clone();
            let appliances = appliance.into_iter().collect();
            let id = |file: Option<&FileEntry>| file.map(|file| object_id(&file.parts));
            let objects = (id(old), id(new));
            changes.push(Change { group, appliances, path: path.clone(), kind, length, diff, objects });
        }
        Ok(())
    }

    fn diff(
        &self,
        group: &Name,
        old: Option<&FileEntry>,
        new: Option<&FileEntry>,
        objects: &Objects,
    ) -> Result<Option<String>, RepositoryError> {
        let (Some(old), Some(new)) = (old, new) else { return Ok(None) };
        if old.length > MAX_DIFF || new.length > MAX_DIFF {
            return Ok(None);
        }
        let role = Owner::Group(group.clone()).role();
        let mut before = Vec::new();
        for part in &old.parts {
            before.extend(read_target(self.state, &role, &part.target, MAX_DIFF)?);
        }
        let mut after = Vec::new();
        for part in &new.parts {
            after.extend(objects.get(&part.sha256).map(content).transpose()?.unwrap_or_default());
        }
        let (Ok(before), Ok(after)) = (String::from_utf8(before), String::from_utf8(after)) else { return Ok(None) };
        if before.contains('\0') || after.contains('\0') {
            return Ok(None);
        }
        let diff = similar::TextDiff::from_lines(&before, &after);
        Ok(Some(diff.unified_diff().context_radius(2).to_string()))
    }

    /// Who gets something else than now.
    fn affected(&self, composition: &Composition) -> Vec<Affected> {
        let mut affected = Vec::new();
        let all: BTreeSet<_> = self.assignments.keys().chain(composition.assignments.keys()).collect();
        for id in all {
            let what = match (self.assignments.get(id), composition.assignments.get(id)) {
                (None, Some(new)) => {
                    let boundary = new.boundary.as_ref().map(|name| format!(", in boundary {name}"));
                    let boundary = boundary.unwrap_or_default();
                    let transport = transport::differences(None, new.transport.as_ref(), &composition.holders);
                    let transport: String = transport.iter().map(|what| format!("; {what}")).collect();
                    format!("addressed for the first time, with {}{boundary}{transport}", names(&new.groups))
                }
                (Some(_), None) => "no longer addressed; keeps what it has".into(),
                (Some(old), Some(new)) => match self.differences(id, old, new, composition) {
                    differences if differences.is_empty() => continue,
                    differences => differences.join("; "),
                },
                (None, None) => continue,
            };
            affected.push(Affected { appliance: id.clone(), what });
        }
        affected
    }

    fn differences(
        &self,
        id: &ApplianceId,
        old: &Assignment,
        new: &Assignment,
        composition: &Composition,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        for group in new.groups.iter().filter(|group| !old.groups.contains(group)) {
            differences.push(format!("joins {group}"));
        }
        for group in old.groups.iter().filter(|group| !new.groups.contains(group)) {
            differences.push(format!("leaves {group}, whose files go"));
        }
        for group in new.groups.iter().filter(|group| old.groups.contains(group)) {
            let own = self.manifests.get(&(group.clone(), Some(id.clone())));
            let before = own.or_else(|| self.manifests.get(&(group.clone(), None)));
            if before != composition.manifest(group, id) {
                differences.push(format!("new generation of {group}"));
            }
        }
        if old.device != new.device {
            differences.push("another device now".into());
        }
        let named = |assignment: &Assignment| assignment.boundary.as_ref().map_or("none", Name::as_str).to_owned();
        match &new.boundary {
            _ if old.boundary != new.boundary => {
                differences.push(format!("boundary {} -> {}", named(old), named(new)));
            }
            Some(name) if self.boundaries.get(name) != composition.boundaries.get(name) => {
                differences.push(format!("boundary {name} changes"));
            }
            _ => {}
        }
        let (before, after) = (old.transport.as_ref(), new.transport.as_ref());
        differences.extend(transport::differences(before, after, &composition.holders));
        differences
    }
}

fn names(groups: &[Name]) -> String {
    if groups.is_empty() { "no groups".into() } else { groups.iter().map(Name::as_str).collect::<Vec<_>>().join(", ") }
}

fn content(source: &Source) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = source.stream(&mut |block| {
        bytes.extend_from_slice(block);
        Ok(())
    });
    match source {
        Source::Span { path, .. } => read.map_err(FileError::read(path))?,
        // Nothing to fail.
        Source::Bytes(_) => {}
    }
    Ok(bytes)
}

fn read_target(state: &State, role: &RoleName, path: &str, limit: u64) -> Result<Vec<u8>, RepositoryError> {
    let absent = || RepositoryError::Unnamed { by: role.to_string(), what: path.to_owned() };
    let target = state.target(role, path).ok_or_else(absent)?;
    let (file, _) = state.target_file(path, target)?;
    Ok(file::read(&file, limit)?)
}

/// A published document.
///
/// # Errors
/// It is not listed, or cannot be read.
pub(super) fn read_json<T: DeserializeOwned>(
    state: &State,
    role: &RoleName,
    path: &str,
    limit: u64,
) -> Result<T, RepositoryError> {
    let raw = read_target(state, role, path, limit)?;
    serde_json::from_slice(&raw).map_err(|source| RepositoryError::Shape { path: path.into(), source })
}
