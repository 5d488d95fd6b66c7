//! Metadata: whatever the text, whether rightly signed or not, the client answers without panic and in bounded time,
//! and what it accepts only ever raises its floors.
//!
//! The first byte says which step the rest is for: raw bytes for the parser, or the `signed` part of one document,
//! which is then signed with the right key, so that the search gets past the signature check.
#![no_main]

use std::sync::LazyLock;

use casemate_protocol::canonical;
use casemate_protocol::keys::{KeyDocument, PublicKey};
use casemate_protocol::signed::{self, Unverified};
use casemate_protocol::tuf::client::{Client, Lookup, Rules, Stored, Want};
use casemate_protocol::tuf::floors::Floors;
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::time::{Clock, UtcTime};
use libfuzzer_sys::fuzz_target;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

const EXPIRES: &str = "2030-01-01T00:00:00Z";

static PAIR: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed"));

fn key() -> KeyDocument {
    KeyDocument::ed25519(PAIR.public_key().as_ref().try_into().expect("32 bytes"))
}

fn sign(content: &Value) -> Option<Vec<u8>> {
    let signature = signed::sign(content, key().keyid(), |message| PAIR.sign(message).as_ref().to_vec()).ok()?;
    signed::assemble(content, vec![signature]).ok()
}

fn root(version: u64) -> Value {
    let role = json!({ "keyids": [key().keyid()], "threshold": 1 });
    json!({
        "_type": "root", "spec_version": "1.0.34", "version": version, "expires": EXPIRES, "consistent_snapshot": true,
        "keys": { key().keyid().to_string(): key() },
        "roles": { "root": role, "timestamp": role, "snapshot": role, "targets": role },
        "x-casemate": { "format": 1, "persons": {}, "jurisdiction": "LU" },
    })
}

fn timestamp() -> Value {
    json!({
        "_type": "timestamp", "spec_version": "1.0.34", "version": 1, "expires": EXPIRES,
        "meta": { "snapshot.json": { "version": 1 } }, "x-casemate": { "signed_at": "2026-01-01T00:00:00Z" },
    })
}

fn snapshot() -> Value {
    let listed = json!({ "version": 1 });
    json!({
        "_type": "snapshot", "spec_version": "1.0.34", "version": 1, "expires": EXPIRES,
        "meta": { "targets.json": listed, "group.a.json": listed, "bin-0.json": listed, "bin-1.json": listed },
    })
}

fn targets() -> Value {
    let keyids = json!([key().keyid()]);
    json!({
        "_type": "targets", "spec_version": "1.0.34", "version": 1, "expires": EXPIRES, "targets": {},
        "delegations": {
            "keys": { key().keyid().to_string(): key() },
            "roles": [
                { "name": "group.a", "keyids": keyids, "threshold": 1, "terminating": true, "paths": ["groups/a/*"] },
                { "name": "bin-0", "keyids": keyids, "threshold": 1, "terminating": false, "paths": ["*", "*/*"] },
            ],
        },
    })
}

/// Root, timestamp, snapshot and targets, rightly signed.
static GOOD: LazyLock<[Vec<u8>; 4]> =
    LazyLock::new(|| [root(1), timestamp(), snapshot(), targets()].map(|content| sign(&content).expect("is JSON")));

/// Serves a client: its own documents, but `raw` at `step`.
fn run(rules: Rules, step: u8, raw: &[u8]) {
    let clock = Clock {
        wall: "2026-02-01T00:00:00Z".parse().expect("a time"),
        build: UtcTime::EPOCH,
        offline_span_days: 9_999,
    };
    let stored = Stored { root: GOOD[0].clone(), ..Stored::default() };
    let mut client = Client::new(stored, rules, clock).expect("a good root");
    for target in ["", "groups/a/x", "appliances/x.json", "boundary/x", "a"] {
        for _ in 0..80 {
            let Want::Metadata { role, max_length, .. } = client.want() else { break };
            assert!(max_length <= 8 * 1024 * 1024);
            let before = client.floors().clone();
            let (at, good) = match role.as_str() {
                "root" => (0, None),
                "timestamp" => (1, Some(&GOOD[1])),
                "snapshot" => (2, Some(&GOOD[2])),
                "targets" => (3, Some(&GOOD[3])),
                _ => (4, None),
            };
            let first = client.roots().is_empty() && client.targets().is_none();
            let answer = if at == step && (at != 0 || first) { Some(raw) } else { good.map(Vec::as_slice) };
            let outcome = match answer {
                Some(raw) => client.got(raw),
                None => client.absent(),
            };
            if outcome.is_err() {
                assert_eq!(*client.floors(), before, "a refusal leaves no trace");
                return;
            }
            let version = |floors: &Floors| floors.root.as_ref().map(|floor| floor.version);
            assert!(version(client.floors()) >= version(&before), "roots never fall");
        }
        if matches!(client.lookup(target), Lookup::Found { .. }) && rules == Rules::Casemate {
            assert!(!target.starts_with("groups/") || client.delegated(&RoleName::foreign("group.a")).is_some());
        }
    }
    let kept = Stored { root: client.root().raw().to_vec(), floors: client.floors().clone(), ..Stored::default() };
    Client::new(kept, rules, clock).expect("what was accepted can be built on");
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, text)) = data.split_first() else { return };
    if let Ok(value) = canonical::parse(text) {
        let encoded = canonical::encode(&value);
        // Canonical JSON leaves control characters bare, which JSON proper does not allow.
        if let Ok(again) = canonical::parse(&encoded) {
            assert_eq!(again, value, "the canonical form means the same");
        }
        if let Ok(key) = serde_json::from_value::<KeyDocument>(value.clone()) {
            let _ = PublicKey::parse(&key).map(|key| key.verify(b"message", text));
        }
    }
    let rules = if selector & 0x80 == 0 { Rules::Casemate } else { Rules::Foreign };
    let step = selector % 5;
    if selector & 0x40 == 0 {
        let _ = Unverified::parse(text);
        run(rules, step, text);
    } else if let Some(raw) = canonical::parse(text).ok().and_then(|content| sign(&content)) {
        run(rules, step, &raw);
    }
});
