//! Manifests: whatever an owner signs, reading it ends without panic, and what is accepted keeps every rule of the
//! format.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::bundle::appraisal::parse_manifest;
use casemate_protocol::bundle::part::MAX_PART;
use casemate_protocol::device::id::Owner;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::{SPEC_VERSION, Version};
use casemate_protocol::tuf::targets::{TargetFile, Targets};
use casemate_protocol::tuf::time::UtcTime;
use libfuzzer_sys::fuzz_target;

/// Targets of owner `group.a`, some large, some of another tree: the digests are those of the paths.
fn targets() -> Targets {
    let list = [
        ("groups/a/files/x", 1),
        ("groups/a/files/y", MAX_PART),
        ("groups/a/files/z/part-0000", MAX_PART),
        ("groups/a/files/z/part-0001", 7),
        ("groups/b/files/x", 1),
    ];
    let file = |path: &str, length| {
        let hashes = BTreeMap::from([("sha256".to_owned(), Digest::of(path.as_bytes()).to_string())]);
        (path.to_owned(), TargetFile { length, hashes, custom: None })
    };
    Targets {
        kind: "targets".into(),
        spec_version: SPEC_VERSION.into(),
        version: Version::FIRST,
        expires: UtcTime::EPOCH,
        targets: list.into_iter().map(|(path, length)| file(path, length)).collect(),
        delegations: None,
    }
}

fuzz_target!(|data: &[u8]| {
    let owner: Owner = "group.a".parse().expect("an owner");
    let targets = targets();
    let Ok(accepted) = parse_manifest(&owner, "groups/a/manifest.json", data, &targets) else { return };
    assert_eq!(accepted.digest, Digest::of(data));
    assert!(accepted.manifest.owner == owner && accepted.manifest.terms().is_ok_and(|terms| terms == accepted.terms));
    let mut paths = BTreeSet::new();
    for file in &accepted.manifest.files {
        assert!(paths.insert(file.path.as_str()), "each path once");
        assert!(!file.path.as_str().starts_with('/') && file.path.components().all(|part| part != ".." && part != "."));
        let mut end = 0;
        for part in &file.parts {
            assert!(part.offset == end && part.length <= MAX_PART && part.target.starts_with("groups/a/"));
            assert_eq!(targets.targets[&part.target].length, part.length);
            end += part.length;
        }
        assert_eq!(end, file.length);
    }
});
