//! Manifests: which one counts, and whether it says only what its owner signed.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::sha256;
use super::refusal::OwnerRefusal;
use super::verdict::{OwnerManifest, Wanted};
use crate::bundle::manifest::{FileEntry, MAX_FILES, Manifest};
use crate::bundle::part::{MAX_PART, object_id};
use crate::canonical;
use crate::device::id::{ApplianceId, Owner};
use crate::digest::Digest;
use crate::tuf::targets::Targets;

/// Whether `target` is the path of a manifest below some owner's tree.
pub(super) fn is_manifest(target: &str) -> bool {
    let parts: Vec<_> = target.split('/').collect();
    matches!(parts[..], ["groups" | "tenants", _, "manifest.json"])
        || matches!(parts[..], ["groups" | "tenants", _, "appliances", _, "manifest.json"])
}

/// The target path of the manifest that counts for `appliance`: its own, where listed, replaces the owner's.
pub(super) fn manifest_for(owner: &Owner, appliance: &ApplianceId, targets: &Targets) -> Option<String> {
    [Manifest::appliance_target_path(owner, appliance), Manifest::target_path(owner)]
        .into_iter()
        .find(|path| targets.targets.contains_key(path))
}

/// The manifest in `raw`, whose digest and length are already known to be signed, checked against the owner's
/// `targets`. A caller that has not verified these knows only that the manifest fits them.
///
/// # Errors
/// The manifest is malformed, contradicts `targets`, or asks for what this version cannot do.
pub fn parse(owner: &Owner, target: &str, raw: &[u8], targets: &Targets) -> Result<OwnerManifest, OwnerRefusal> {
    let refuse = |why: String| OwnerRefusal::Manifest { target: target.into(), why };
    let value = canonical::parse(raw).map_err(|error| refuse(error.to_string()))?;
    let manifest: Manifest = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
    if manifest.format != 1 {
        return Err(refuse(format!("format {} is not known, only 1", manifest.format)));
    }
    if manifest.owner != *owner {
        return Err(refuse(format!("it names owner {}, expected {owner}", manifest.owner)));
    }
    if manifest.files.len() > MAX_FILES {
        return Err(refuse(format!("more than {MAX_FILES} files")));
    }
    paths(&manifest.files).map_err(refuse)?;
    let mut objects = BTreeMap::new();
    for file in &manifest.files {
        let wanted = object(owner, file, targets).map_err(|why| refuse(format!("file {}: {why}", file.path)))?;
        let (object, length) = (wanted.object, wanted.length);
        if objects.insert(object, wanted).is_some_and(|known: Wanted| known.length != length) {
            return Err(refuse(format!("file {}: two lengths are signed for one content", file.path)));
        }
    }
    let terms = manifest.terms().map_err(|source| OwnerRefusal::Terms { target: target.into(), source })?;
    let objects = objects.into_values().collect();
    Ok(OwnerManifest { manifest, terms, raw: raw.to_vec(), digest: Digest::of(raw), objects })
}

/// Paths ascend, so each stands once, and none is the folder of another.
fn paths(files: &[FileEntry]) -> Result<(), String> {
    if let Some(pair) = files.windows(2).find(|pair| pair[0].path >= pair[1].path) {
        return Err(format!("files are not in ascending order: {} before {}", pair[0].path, pair[1].path));
    }
    let all: BTreeSet<_> = files.iter().map(|file| file.path.as_str()).collect();
    for path in &all {
        let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        if let Some(folder) = folders.into_iter().find(|folder| all.contains(folder)) {
            return Err(format!("{folder} is both a file and a folder"));
        }
    }
    Ok(())
}

/// The object a file is made of: parts without gap, each as long as the format says and as its target is signed.
fn object(owner: &Owner, file: &FileEntry, targets: &Targets) -> Result<Wanted, String> {
    let tree = format!("{}/", owner.tree());
    let mut end = 0_u64;
    for (index, part) in file.parts.iter().enumerate() {
        if part.offset != end {
            return Err(format!("part {index} starts at {}, expected {end}", part.offset));
        }
        let last = index + 1 == file.parts.len();
        if part.length == 0 || part.length > MAX_PART || (!last && part.length != MAX_PART) {
            return Err(format!("part {index} has {} bytes; every part has {MAX_PART}, the last at most", part.length));
        }
        let Some(target) = targets.targets.get(&part.target).filter(|_| part.target.starts_with(&tree)) else {
            return Err(format!("part {index} is target {}, which role {} does not list", part.target, owner.role()));
        };
        if sha256(target) != Some(part.sha256) || target.length != part.length {
            return Err(format!("part {index} is not what target {} is signed to be", part.target));
        }
        end += part.length;
    }
    if end != file.length {
        return Err(format!("the parts have {end} bytes, the file {}", file.length));
    }
    Ok(Wanted { object: object_id(&file.parts), length: file.length, parts: file.parts.clone() })
}
