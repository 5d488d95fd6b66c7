//! A small signed repository and its bundles, made in memory; every fault of the tests is a change to one of these
//! values before the next step is taken.
//!
//! ```
//! use casemate_tests::repository::Site;
//!
//! let site = Site::sample();
//! let mut bundle = site.issue().bundle();
//! bundle.members.swap(0, 1);                    // a fault
//! let bytes = bundle.bytes();
//! # assert!(bytes.len() % 512 == 0);
//! ```

use std::collections::BTreeMap;

use casemate_protocol::bundle::appraisal::{Device, Presumes, is_read_whole};
use casemate_protocol::bundle::archive::{MemberKind, Writer};
use casemate_protocol::bundle::manifest::{Apply, Consumer, FileEntry, Manifest};
use casemate_protocol::bundle::part::{MAX_PART, Part};
use casemate_protocol::canonical;
use casemate_protocol::device::assignment::Assignment;
use casemate_protocol::device::id::{Jurisdiction, Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::keys::{KeyDocument, KeyId};
use casemate_protocol::signed;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::floors::Floors;
use casemate_protocol::tuf::role::{RoleKeys, RoleName, SPEC_VERSION, Version};
use casemate_protocol::tuf::root::{PersonToken, Profile, Root};
use casemate_protocol::tuf::snapshot::{MetaFile, Snapshot};
use casemate_protocol::tuf::targets::{DelegatedRole, Delegations, TargetFile, Targets};
use casemate_protocol::tuf::time::{Clock, UtcTime};
use casemate_protocol::tuf::timestamp::{Timestamp, TimestampProfile};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Serialize;

mod boundary;
mod tree;

pub use boundary::{Boundaries, flow, peer, tenant_flows};
pub use tree::target_file;

/// 2026-03-01T12:00:00Z: when sample repositories are signed, and what sample clocks say.
pub const SIGNED_AT: &str = "2026-03-01T12:00:00Z";

/// A signing key made from a word, the same in every run.
#[derive(Debug)]
pub struct Key {
    pair: Ed25519KeyPair,
    /// Its public document.
    pub document: KeyDocument,
}

impl Key {
    /// The key of `word`.
    ///
    /// # Panics
    /// Never: a digest is a seed.
    #[must_use]
    pub fn of(word: &str) -> Self {
        let seed = Digest::of(format!("casemate test key {word}").as_bytes());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_bytes()).expect("32 bytes");
        let document = KeyDocument::ed25519(pair.public_key().as_ref().try_into().expect("32 bytes"));
        Self { pair, document }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.document.keyid()
    }
}

/// Signs `content` with the keys of `words`.
///
/// # Panics
/// `content` is no JSON.
#[must_use]
pub fn sign(content: &impl Serialize, words: &[&str]) -> Vec<u8> {
    let keys = words.iter().map(|word| Key::of(word));
    let signatures =
        keys.map(|key| signed::sign(content, key.id(), |message| key.pair.sign(message).as_ref().to_vec()).unwrap());
    signed::assemble(content, signatures.collect()).unwrap()
}

/// One owner's content.
#[derive(Clone, Debug)]
pub struct Subtree {
    /// Version of the owner's role.
    pub version: u64,
    /// When the role expires.
    pub expires: UtcTime,
    /// Whose keys sign it; the delegation always names `[owner]-key`.
    pub signers: Vec<String>,
    /// Path in the generation → content.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The same for one appliance, whose manifest replaces the owner's.
    pub own: BTreeMap<Name, BTreeMap<String, Vec<u8>>>,
    /// What the manifest asks beyond files.
    pub apply: Apply,
    /// What the tenant signs to leave of its flows, if it does: `boundary.json`, as it is.
    pub boundary: Option<Vec<u8>>,
    /// Services that must work with it.
    pub consumers: BTreeMap<Name, Consumer>,
    /// Changes every manifest just before it is signed.
    pub edit: fn(&mut Manifest),
    /// Changes the owner's targets just before they are signed.
    pub edit_targets: fn(&mut Targets),
}

impl Subtree {
    /// Version 1 of `files`.
    #[must_use]
    pub fn of(files: &[(&str, &[u8])]) -> Self {
        Self {
            version: 1,
            expires: signed_at().plus_days(400),
            signers: Vec::new(),
            files: files.iter().map(|(path, content)| ((*path).into(), content.to_vec())).collect(),
            own: BTreeMap::new(),
            apply: Apply::default(),
            boundary: None,
            consumers: BTreeMap::new(),
            edit: |_| {},
            edit_targets: |_| {},
        }
    }
}

/// A repository about to be signed.
#[derive(Clone, Debug)]
pub struct Site {
    /// The root's jurisdiction.
    pub jurisdiction: Jurisdiction,
    /// Newest root version; all from 1 are made.
    pub root: u64,
    /// Version of timestamp, snapshot and targets.
    pub version: u64,
    /// What the timestamp says.
    pub signed_at: UtcTime,
    /// When the timestamp expires.
    pub expires: UtcTime,
    /// Who is assigned what.
    pub assignments: BTreeMap<Name, Assignment>,
    /// The owners' content.
    pub owners: BTreeMap<Owner, Subtree>,
    /// Whose key signs snapshot and timestamp under the newest root; under older ones it is `online`.
    pub online: &'static str,
    /// What root binds as the boundary envelope.
    pub envelope: Option<Digest>,
    /// What role `boundary` signs, if there is one.
    pub boundary: Option<Boundaries>,
}

/// [`SIGNED_AT`].
#[must_use]
pub fn signed_at() -> UtcTime {
    SIGNED_AT.parse().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The device that plays appliance `id`.
#[must_use]
pub fn device(id: &str) -> Device {
    Device { id: name(id), jurisdiction: "LU".parse().unwrap(), keys: Digest::of(id.as_bytes()) }
}

/// A clock that says [`SIGNED_AT`].
#[must_use]
pub fn clock() -> Clock {
    Clock { wall: signed_at(), build: "2026-01-01T00:00:00Z".parse().unwrap(), offline_span_days: 400 }
}

impl Site {
    /// Appliances `lux-001` (group `clinics`) and `lux-002` (groups `clinics`, `labs`, tenant `north`).
    #[must_use]
    pub fn sample() -> Self {
        let owner = |text: &str| text.parse::<Owner>().unwrap();
        let mut site = Self {
            jurisdiction: "LU".parse().unwrap(),
            root: 1,
            version: 1,
            signed_at: signed_at(),
            expires: signed_at().plus_days(90),
            assignments: BTreeMap::new(),
            owners: BTreeMap::from([
                (
                    owner("group.clinics"),
                    Subtree::of(&[
                        ("synapse/homeserver.yaml", b"server_name: clinics.example\n"),
                        ("systemd/network/10-lan.network", b"[Match]\nName=lan0\n"),
                    ]),
                ),
                (owner("group.labs"), Subtree::of(&[("nftables/rules.nft", b"flush ruleset\n")])),
                (owner("tenant.north"), Subtree::of(&[("app/config.toml", b"answer = 42\n"), ("app/empty", b"")])),
            ]),
            online: "online",
            envelope: None,
            boundary: None,
        };
        site.assign("lux-001", &["clinics"], &[]);
        site.assign("lux-002", &["clinics", "labs"], &["north"]);
        site
    }

    /// [`Self::sample`], but `group.labs` signs a file of `group.clinics` as its own, with a wrong length.
    #[must_use]
    pub fn contested() -> Self {
        let mut site = Self::sample();
        let content = site.owner("group.clinics").files["synapse/homeserver.yaml"].clone();
        let labs = site.owner("group.labs");
        labs.files = BTreeMap::from([("taken".into(), content)]);
        labs.edit = |manifest| {
            manifest.files[0].length += 7;
            manifest.files[0].parts[0].length += 7;
        };
        labs.edit_targets = |targets| {
            let file = targets.targets.get_mut("groups/labs/files/taken");
            file.expect("it was just added").length += 7;
        };
        site
    }

    /// A site with one group and one file of `content`, for one appliance `lux-001`.
    #[must_use]
    pub fn single(content: Vec<u8>) -> Self {
        let mut site = Self::sample();
        site.assignments.clear();
        site.owners.clear();
        let mut subtree = Subtree::of(&[]);
        subtree.files.insert("data/file".into(), content);
        site.owners.insert(Owner::Group(name("clinics")), subtree);
        site.assign("lux-001", &["clinics"], &[]);
        site
    }

    /// Assigns groups and tenants to appliance `id`.
    pub fn assign(&mut self, id: &str, groups: &[&str], tenants: &[&str]) {
        let assignment = Assignment {
            format: 1,
            appliance: name(id),
            device: Digest::of(id.as_bytes()),
            jurisdiction: self.jurisdiction,
            groups: groups.iter().map(|group| name(group)).collect(),
            tenants: tenants.iter().map(|tenant| name(tenant)).collect(),
            boundary: None,
            transport: None,
        };
        self.assignments.insert(name(id), assignment);
    }

    /// One owner's content.
    ///
    /// # Panics
    /// There is no such owner.
    pub fn owner(&mut self, owner: &str) -> &mut Subtree {
        self.owners.get_mut(&owner.parse().unwrap()).expect("the sample has it")
    }

    /// The next version of everything, with other content in one file of `owner`.
    pub fn reissue(&mut self, owner: &str, path: &str, content: &[u8]) {
        self.version += 1;
        let subtree = self.owner(owner);
        subtree.version += 1;
        subtree.files.insert(path.into(), content.to_vec());
    }

    /// What an appliance that was just enrolled has stored: root 1.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored { root: self.root(1), floors: Floors::default(), cached: BTreeMap::new() }
    }

    /// Signs everything.
    #[must_use]
    pub fn issue(&self) -> Issue {
        let mut targets: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (id, assignment) in &self.assignments {
            let text = canonical::encode(&serde_json::to_value(assignment).unwrap());
            targets.insert(Assignment::target_path(id), text);
        }
        let mut meta = BTreeMap::new();
        let mut roles = BTreeMap::new();
        for (owner, subtree) in &self.owners {
            let (content, files) = self.subtree(owner, subtree);
            let key = format!("{owner}-key");
            let words = if subtree.signers.is_empty() { vec![key] } else { subtree.signers.clone() };
            let raw = sign(&content, &words.iter().map(String::as_str).collect::<Vec<_>>());
            meta.insert(owner.role().meta_name(), described(content.version, &raw));
            roles.insert(owner.role(), (content.version, raw));
            targets.extend(files);
        }
        if let Some(boundaries) = &self.boundary {
            let (content, documents) = boundaries.sign(self);
            let raw = sign(&content, &boundaries.signers);
            let role = casemate_protocol::tuf::profile::boundary_role();
            meta.insert(role.meta_name(), described(content.version, &raw));
            roles.insert(role, (content.version, raw));
            targets.extend(documents);
        }
        let common = targets.iter().filter(|(path, _)| path.starts_with("appliances/"));
        let top = Targets {
            kind: "targets".into(),
            spec_version: SPEC_VERSION.into(),
            version: version(self.version),
            expires: self.signed_at.plus_days(400),
            targets: common.map(|(path, content)| (path.clone(), target(content))).collect(),
            delegations: Some(self.delegations()),
        };
        let top = sign(&top, &["alice", "bob"]);
        meta.insert("targets.json".into(), described(version(self.version), &top));
        let snapshot = Snapshot {
            kind: "snapshot".into(),
            spec_version: SPEC_VERSION.into(),
            version: version(self.version),
            expires: self.signed_at.plus_days(400),
            meta,
        };
        let snapshot = sign(&snapshot, &[self.online]);
        let timestamp = Timestamp {
            kind: "timestamp".into(),
            spec_version: SPEC_VERSION.into(),
            version: version(self.version),
            expires: self.expires,
            meta: BTreeMap::from([("snapshot.json".into(), described(version(self.version), &snapshot))]),
            profile: Some(TimestampProfile { signed_at: self.signed_at }),
        };
        Issue {
            version: version(self.version),
            roots: (1..=self.root).map(|number| self.root(number)).collect(),
            timestamp: sign(&timestamp, &[self.online]),
            snapshot,
            targets: top,
            roles,
            content: targets,
        }
    }

    /// Root number `number`.
    #[must_use]
    pub fn root(&self, number: u64) -> Vec<u8> {
        let mut keys: BTreeMap<KeyId, KeyDocument> = BTreeMap::new();
        let mut role = |words: &[&str], threshold| {
            let listed: Vec<_> = words.iter().map(|word| Key::of(word)).collect();
            keys.extend(listed.iter().map(|key| (key.id(), key.document.clone())));
            RoleKeys { keyids: listed.iter().map(Key::id).collect(), threshold }
        };
        let online = if number == self.root { self.online } else { "online" };
        let roles = BTreeMap::from([
            (RoleName::root(), role(&["alice", "bob"], 2)),
            (RoleName::targets(), role(&["alice", "bob"], 2)),
            (RoleName::snapshot(), role(&[online], 1)),
            (RoleName::timestamp(), role(&[online], 1)),
        ]);
        let person = |word: &str| (Key::of(word).id(), PersonToken(format!("person-{word}")));
        let root = Root {
            kind: "root".into(),
            spec_version: SPEC_VERSION.into(),
            version: version(number),
            expires: signed_at().plus_days(800),
            consistent_snapshot: true,
            keys,
            roles,
            profile: Some(Profile {
                format: 1,
                persons: BTreeMap::from([person("alice"), person("bob")]),
                jurisdiction: self.jurisdiction,
                envelope: self.envelope,
                demo: false,
                keys: BTreeMap::new(),
            }),
        };
        sign(&root, &["alice", "bob"])
    }

    fn delegations(&self) -> Delegations {
        let mut delegations = Delegations::default();
        for owner in self.owners.keys() {
            let key = Key::of(&format!("{owner}-key"));
            delegations.keys.insert(key.id(), key.document.clone());
            let paths = (1..=8).map(|depth| format!("{}{}", owner.tree(), "/*".repeat(depth)));
            delegations.roles.push(DelegatedRole {
                name: owner.role(),
                keyids: vec![key.id()],
                threshold: 1,
                terminating: true,
                paths: Some(paths.collect()),
                path_hash_prefixes: None,
            });
        }
        if let Some(boundaries) = &self.boundary {
            boundaries.delegate(&mut delegations);
        }
        delegations
    }

    /// The targets of one owner, and their contents.
    fn subtree(&self, owner: &Owner, subtree: &Subtree) -> (Targets, BTreeMap<String, Vec<u8>>) {
        let mut contents = BTreeMap::new();
        let mut add = |folder: String, manifest_path: String, files: &BTreeMap<String, Vec<u8>>| {
            let mut entries = Vec::new();
            for (path, content) in files {
                let base = format!("{folder}/files/{path}");
                entries.push(entry(path, &base, content, &mut contents));
            }
            let summary = format!("version {}", subtree.version);
            let (format, owner, apply) = (1, owner.clone(), subtree.apply.clone());
            let consumers = subtree.consumers.clone();
            let mut manifest = Manifest { format, owner, summary, files: entries, apply, consumers };
            (subtree.edit)(&mut manifest);
            contents.insert(manifest_path, canonical::encode(&serde_json::to_value(&manifest).unwrap()));
        };
        add(owner.tree(), Manifest::target_path(owner), &subtree.files);
        for (id, files) in &subtree.own {
            let folder = format!("{}/appliances/{id}", owner.tree());
            add(folder, Manifest::appliance_target_path(owner, id), files);
        }
        contents.extend(subtree.boundary.clone().map(|raw| (format!("{}/boundary.json", owner.tree()), raw)));
        let mut targets = Targets {
            kind: "targets".into(),
            spec_version: SPEC_VERSION.into(),
            version: version(subtree.version),
            expires: subtree.expires,
            targets: contents.iter().map(|(path, content)| (path.clone(), target(content))).collect(),
            delegations: None,
        };
        (subtree.edit_targets)(&mut targets);
        (targets, contents)
    }
}

/// A file's entry in its manifest; its parts' contents are added to `contents`.
fn entry(path: &str, base: &str, content: &[u8], contents: &mut BTreeMap<String, Vec<u8>>) -> FileEntry {
    let pieces: Vec<_> = content.chunks(usize::try_from(MAX_PART).unwrap()).collect();
    let mut parts = Vec::new();
    let mut offset = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let target = if pieces.len() == 1 { base.to_owned() } else { format!("{base}/part-{index:04}") };
        let length = piece.len() as u64;
        parts.push(Part { target: target.clone(), offset, length, sha256: Digest::of(piece) });
        contents.insert(target, piece.to_vec());
        offset += length;
    }
    FileEntry { path: path.parse().unwrap(), length: content.len() as u64, parts, consumer: None }
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn hashes(content: &[u8]) -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".into(), Digest::of(content).to_string())])
}

fn target(content: &[u8]) -> TargetFile {
    TargetFile { length: content.len() as u64, hashes: hashes(content), custom: None }
}

fn described(version: Version, raw: &[u8]) -> MetaFile {
    MetaFile { version, length: Some(raw.len() as u64), hashes: hashes(raw) }
}

/// A signed repository.
#[derive(Clone, Debug)]
pub struct Issue {
    /// Version of timestamp, snapshot and targets.
    pub version: Version,
    /// Roots from 1.
    pub roots: Vec<Vec<u8>>,
    /// Raw.
    pub timestamp: Vec<u8>,
    /// Raw.
    pub snapshot: Vec<u8>,
    /// Raw.
    pub targets: Vec<u8>,
    /// Delegated roles, raw.
    pub roles: BTreeMap<RoleName, (Version, Vec<u8>)>,
    /// Target path → content.
    pub content: BTreeMap<String, Vec<u8>>,
}

impl Issue {
    /// The bundle of everything, in order.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        let metadata = |role: RoleName, version| MemberKind::Metadata { role, version };
        let mut members = Vec::new();
        for (number, raw) in (1..).zip(&self.roots) {
            members.push((metadata(RoleName::root(), version(number)), raw.clone()));
        }
        members.push((metadata(RoleName::timestamp(), self.version), self.timestamp.clone()));
        members.push((metadata(RoleName::snapshot(), self.version), self.snapshot.clone()));
        members.push((metadata(RoleName::targets(), self.version), self.targets.clone()));
        let mut bundle = Bundle { members };
        bundle.objects(self.content.iter().filter(|(path, _)| path.starts_with("appliances/")));
        for (role, (version, raw)) in &self.roles {
            bundle.members.push((metadata(role.clone(), *version), raw.clone()));
        }
        let owned = || self.content.iter().filter(|(path, _)| !path.starts_with("appliances/"));
        bundle.objects(owned().filter(|(path, _)| is_read_whole(path)));
        bundle.objects(owned().filter(|(path, _)| !is_read_whole(path)));
        bundle
    }
}

/// A bundle in parts.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Members, in order.
    pub members: Vec<(MemberKind, Vec<u8>)>,
}

impl Bundle {
    fn objects<'a>(&mut self, contents: impl Iterator<Item = (&'a String, &'a Vec<u8>)>) {
        let section = self.members.len();
        for (_, content) in contents {
            let kind = MemberKind::Object { digest: Digest::of(content) };
            if !content.is_empty() && self.members[section..].iter().all(|(known, _)| *known != kind) {
                self.members.push((kind, content.clone()));
            }
        }
    }

    /// Where the object of `content` stands.
    ///
    /// # Panics
    /// It is not in the bundle.
    #[must_use]
    pub fn position(&self, content: &[u8]) -> usize {
        let kind = MemberKind::Object { digest: Digest::of(content) };
        self.members.iter().position(|(known, _)| *known == kind).expect("the bundle holds it")
    }

    /// Where the metadata of `role` stands first.
    ///
    /// # Panics
    /// It is not in the bundle.
    #[must_use]
    pub fn metadata(&self, role: &str) -> usize {
        let is = |kind: &MemberKind| matches!(kind, MemberKind::Metadata { role: found, .. } if found.as_str() == role);
        self.members.iter().position(|(kind, _)| is(kind)).expect("the bundle holds it")
    }

    /// Takes an object out and presumes that the appliance holds it.
    pub fn presume(&mut self, content: &[u8]) {
        let at = self.position(content);
        self.members[at] = (MemberKind::Presumes, Presumes::encode([Digest::of(content)]));
    }

    /// The archive.
    ///
    /// # Panics
    /// A member does not fit a header.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (kind, content) in &self.members {
            Writer::append(&mut archive, kind, content).unwrap();
        }
        archive.extend_from_slice(Writer::end());
        archive
    }
}
