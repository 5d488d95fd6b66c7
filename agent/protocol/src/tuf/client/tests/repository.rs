//! A repository in memory whose every document can be bent before it is signed, and an appliance that updates from it.

use std::collections::BTreeMap;

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::keys::{KeyDocument, KeyId};
use crate::signed;
use crate::tuf::client::{Client, Lookup, Rules, Stored, TufError, Want};
use crate::tuf::role::RoleName;
use crate::tuf::time::{Clock, UtcTime};
use crate::verify::Verified;

/// When the sample repository is signed, and what the sample clock says.
pub(super) const TODAY: &str = "2026-03-01T12:00:00Z";

pub(super) fn time(text: &str) -> UtcTime {
    text.parse().unwrap()
}

pub(super) fn in_days(days: u64) -> String {
    time(TODAY).plus_days(days).to_string()
}

fn pair(word: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(Digest::of(word.as_bytes()).as_bytes()).unwrap()
}

/// The public key of `word`.
pub(super) fn key(word: &str) -> KeyDocument {
    KeyDocument::ed25519(pair(word).public_key().as_ref().try_into().unwrap())
}

pub(super) fn keyid(word: &str) -> String {
    key(word).keyid().to_string()
}

pub(super) fn keys(words: &[&str]) -> Value {
    words.iter().map(|word| (keyid(word), json!(key(word)))).collect::<serde_json::Map<_, _>>().into()
}

pub(super) fn role(words: &[&str], threshold: u32) -> Value {
    json!({ "keyids": words.iter().map(|word| keyid(word)).collect::<Vec<_>>(), "threshold": threshold })
}

/// `content` with the signatures of `words`; `word=id` signs under another key id.
pub(super) fn sign(content: &Value, words: &[&str]) -> Vec<u8> {
    let signatures = words.iter().map(|word| {
        let (word, id) = word.split_once('=').map_or((*word, keyid(word)), |(word, id)| (word, id.to_owned()));
        signed::sign(content, KeyId(id), |message| pair(word).sign(message).as_ref().to_vec()).unwrap()
    });
    signed::assemble(content, signatures.collect()).unwrap()
}

/// A repository: bend `doc`, choose `signers`, `publish`.
pub(super) struct Repository {
    pub(super) documents: BTreeMap<String, Value>,
    pub(super) signers: BTreeMap<String, Vec<String>>,
    /// What is served, by path.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) requests: Vec<String>,
}

impl Repository {
    /// Root and targets need alice and bob; one online key signs timestamp and snapshot; group `a`, tenant `t`.
    pub(super) fn new() -> Self {
        let mut repository =
            Self { documents: BTreeMap::new(), signers: BTreeMap::new(), files: BTreeMap::new(), requests: Vec::new() };
        let common = |kind: &str, days| json!({ "_type": kind, "spec_version": "1.0.34", "version": 1, "expires": in_days(days) });
        let with = |mut base: Value, more: Value| {
            base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            base
        };
        let two = role(&["alice", "bob"], 2);
        let one = role(&["online"], 1);
        let persons = json!({ keyid("alice"): "person-1", keyid("bob"): "person-2" });
        let root = json!({
            "consistent_snapshot": true, "keys": keys(&["alice", "bob", "online"]),
            "roles": { "root": two, "targets": two, "snapshot": one, "timestamp": one },
            "x-casemate": { "format": 1, "persons": persons, "jurisdiction": "LU" },
        });
        let owned = |tree: &str| (1..=8).map(|depth| format!("{tree}{}", "/*".repeat(depth))).collect::<Vec<_>>();
        let delegations = json!({
            "keys": keys(&["group", "tenant"]),
            "roles": [
                delegation("group.a", &["group"], 1, &owned("groups/a")),
                delegation("tenant.t", &["tenant"], 1, &owned("tenants/t")),
            ],
        });
        let top = json!({ "targets": { "appliances/x.json": file(b"x") }, "delegations": delegations });
        let documents = [
            ("root", with(common("root", 800), root), vec!["alice", "bob"]),
            ("targets", with(common("targets", 400), top), vec!["alice", "bob"]),
            (
                "group.a",
                with(common("targets", 400), json!({ "targets": { "groups/a/f": file(b"a") } })),
                vec!["group"],
            ),
            (
                "tenant.t",
                with(common("targets", 400), json!({ "targets": { "tenants/t/f": file(b"t") } })),
                vec!["tenant"],
            ),
            ("snapshot", with(common("snapshot", 400), json!({ "meta": {} })), vec!["online"]),
            (
                "timestamp",
                with(common("timestamp", 90), json!({ "meta": {}, "x-casemate": { "signed_at": TODAY } })),
                vec!["online"],
            ),
        ];
        for (name, document, signers) in documents {
            repository.documents.insert(name.into(), document);
            repository.sign_with(name, &signers);
        }
        for name in ["root", "group.a", "tenant.t", "targets", "snapshot", "timestamp"] {
            repository.serve(name);
        }
        repository
    }

    /// The `signed` part of a document, to bend.
    pub(super) fn doc(&mut self, name: &str) -> &mut Value {
        self.documents.get_mut(name).unwrap()
    }

    pub(super) fn sign_with(&mut self, name: &str, words: &[&str]) {
        self.signers.insert(name.into(), words.iter().map(|word| (*word).to_owned()).collect());
    }

    pub(super) fn version(&self, name: &str) -> u64 {
        self.documents[name]["version"].as_u64().unwrap()
    }

    /// The next version of each, in this order.
    pub(super) fn publish(&mut self, names: &[&str]) {
        for name in names {
            let next = self.version(name) + 1;
            self.doc(name)["version"] = json!(next);
            self.serve(name);
        }
    }

    /// Everything but root once more, from the bottom up.
    pub(super) fn publish_all(&mut self) {
        let top = ["root", "targets", "snapshot", "timestamp"];
        let roles: Vec<_> = self.documents.keys().filter(|name| !top.contains(&name.as_str())).cloned().collect();
        self.publish(&roles.iter().map(String::as_str).collect::<Vec<_>>());
        self.publish(&["targets", "snapshot", "timestamp"]);
    }

    /// Signs a document as it stands, serves it, and lists it where it is to be listed.
    pub(super) fn serve(&mut self, name: &str) {
        let words: Vec<_> = self.signers[name].clone();
        let raw = sign(&self.documents[name], &words.iter().map(String::as_str).collect::<Vec<_>>());
        self.serve_raw(name, raw);
    }

    pub(super) fn serve_raw(&mut self, name: &str, raw: Vec<u8>) {
        let version = &self.documents[name]["version"];
        let meta = json!({ "version": version, "length": raw.len(), "hashes": { "sha256": Digest::of(&raw) } });
        let path = if name == "timestamp" { "timestamp.json".into() } else { format!("{version}.{name}.json") };
        match name {
            "root" | "timestamp" => {}
            "snapshot" => self.doc("timestamp")["meta"]["snapshot.json"] = meta,
            _ => self.doc("snapshot")["meta"][format!("{name}.json")] = meta,
        }
        self.files.insert(path, raw);
    }

    /// A further role, delegated by `delegator`.
    pub(super) fn delegate(&mut self, delegator: &str, name: &str, patterns: &[&str], targets: &Value) {
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let delegations = &mut self.doc(delegator)["delegations"];
        if delegations.is_null() {
            *delegations = json!({ "keys": {}, "roles": [] });
        }
        delegations["keys"][keyid(name)] = json!(key(name));
        delegations["roles"].as_array_mut().unwrap().push(delegation(name, &[name], 1, &patterns));
        let document = json!({
            "_type": "targets", "spec_version": "1.0.34", "version": 0, "expires": in_days(400), "targets": targets,
        });
        self.documents.entry(name.into()).or_insert(document);
        self.sign_with(name, &[name]);
    }
}

pub(super) fn delegation(name: &str, words: &[&str], threshold: u32, patterns: &[String]) -> Value {
    let mut delegation = role(words, threshold);
    delegation["name"] = json!(name);
    delegation["terminating"] = json!(false);
    delegation["paths"] = json!(patterns);
    delegation
}

pub(super) fn file(content: &[u8]) -> Value {
    json!({ "length": content.len(), "hashes": { "sha256": Digest::of(content) } })
}

/// Something that keeps state between runs.
#[derive(Clone)]
pub(super) struct Appliance {
    pub(super) stored: Stored,
    pub(super) rules: Rules,
    pub(super) clock: Clock,
}

impl Appliance {
    /// An appliance that trusts the repository's root 1.
    pub(super) fn new(repository: &Repository) -> Self {
        let root = repository.files["1.root.json"].clone();
        let clock = Clock { wall: time(TODAY), build: time("2026-01-01T00:00:00Z"), offline_span_days: 400 };
        Self { stored: Stored { root, ..Stored::default() }, rules: Rules::Casemate, clock }
    }

    pub(super) fn foreign(repository: &Repository) -> Self {
        Self { rules: Rules::Foreign, ..Self::new(repository) }
    }

    /// One run: the top-level roles, kept as far as they were accepted.
    pub(super) fn update(&mut self, repository: &mut Repository) -> Result<Client, TufError> {
        let mut client = Client::new(self.stored.clone(), self.rules, self.clock)?;
        let outcome = serve(&mut client, repository);
        self.keep(&client);
        outcome.map(|()| client)
    }

    pub(super) fn keep(&mut self, client: &Client) {
        self.stored.root = client.root().raw().to_vec();
        self.stored.floors = client.floors().clone();
        let mut put = |name: &str, raw: Option<&[u8]>| {
            raw.map(|raw| self.stored.cached.insert(RoleName::foreign(name), raw.to_vec()));
        };
        put("timestamp", client.timestamp().map(Verified::raw));
        put("snapshot", client.snapshot().map(Verified::raw));
        put("targets", client.targets().map(Verified::raw));
    }
}

/// Answers the client until it wants nothing.
pub(super) fn serve(client: &mut Client, repository: &mut Repository) -> Result<(), TufError> {
    while let Want::Metadata { path, .. } = client.want() {
        repository.requests.push(path.clone());
        match repository.files.get(&path) {
            Some(raw) => client.got(raw)?,
            None => client.absent()?,
        }
    }
    Ok(())
}

/// A lookup with everything it wants.
pub(super) fn find(client: &mut Client, repository: &mut Repository, target: &str) -> Lookup {
    loop {
        match client.lookup(target) {
            Lookup::Wants => serve(client, repository).unwrap(),
            lookup => return lookup,
        }
    }
}

/// The role that answers for `target`, or why none does.
pub(super) fn answers(client: &mut Client, repository: &mut Repository, target: &str) -> String {
    match find(client, repository, target) {
        Lookup::Found { role, .. } => role.to_string(),
        Lookup::Absent => "absent".into(),
        Lookup::Wants => "wants".into(),
        Lookup::Broken { role } => format!("broken {role}"),
    }
}
