//! `docs/asyncapi.json` says what the code does.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::device::id::{ApplianceId, Name};
use crate::digest::Digest;
use crate::tuf::role::Version;

fn document() -> Value {
    serde_json::from_str(include_str!("../../../../docs/asyncapi.json")).unwrap()
}

fn schema(name: &str) -> Value {
    document()["components"]["schemas"][name].clone()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_described_addresses_are_the_topics() {
    let (id, group): (ApplianceId, Name) = ("a".parse().unwrap(), "g".parse().unwrap());
    let (one, many) = (Scope::Appliance(id.clone()), Scope::Group(group));
    let bundle = Digest::of(b"");
    let fill = |address: &str| {
        address
            .replace("{appliance}", "a")
            .replace("{group}", "g")
            .replace("{bundle}", &bundle.to_string())
            .replace("{chunk}", "0")
            .replace("{sequence}", "7")
            .replace("{answer}", "x")
    };
    let document = document();
    let channels = document["channels"].as_object().unwrap();
    let described: BTreeSet<_> = channels.values().map(|channel| fill(channel["address"].as_str().unwrap())).collect();
    let topics = [
        Topic::Announce(&one),
        Topic::Announce(&many),
        Topic::Chunk(&one, bundle, 0),
        Topic::Chunk(&many, bundle, 0),
        Topic::Presence(&id),
        Topic::Receipt(&id, 7),
        Topic::Health(&id),
        Topic::Requests(&id),
    ];
    let mut expected: BTreeSet<_> = topics.iter().map(Topic::to_string).collect();
    expected.insert(answers(&id) + "x");
    assert_eq!(described, expected);
    assert!(is_answer_topic(&id, &(answers(&id) + "x")));
}

#[test]
fn the_described_announcements_are_those_that_are_written() {
    let chunked = Chunked::of(Digest::of(b""), 1, Version::FIRST, vec![Digest::of(b"")]).unwrap();
    for (name, announce) in
        [("chunked", Announce::Chunked(chunked)), ("pull", Announce::Pull { timestamp: Version::FIRST })]
    {
        let written: Value = serde_json::from_slice(&announce.encode()).unwrap();
        let schema = schema(name);
        assert_eq!(keys(&schema["properties"]), keys(&written), "{name}");
        let required: BTreeSet<_> =
            schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        assert_eq!(required, keys(&written), "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
    let properties = schema("chunked")["properties"].clone();
    assert_eq!(properties["chunk_length"]["const"], CHUNK_LENGTH);
    assert_eq!(properties["length"]["maximum"], MAX_BUNDLE);
    assert_eq!(properties["chunks"]["maxItems"], MAX_BUNDLE / u64::from(CHUNK_LENGTH));
    assert_eq!(document()["components"]["messages"]["chunk"]["payload"]["maxLength"], CHUNK_LENGTH);
}

#[test]
fn the_described_words_are_those_that_are_said() {
    assert_eq!(schema("presence")["enum"][0], Presence::Online.as_str());
    assert_eq!(schema("presence")["enum"][1], Presence::Offline.as_str());
    let asks = schema("request")["properties"]["ask"]["enum"].clone();
    assert_eq!(asks.as_array().unwrap().len(), 1);
    for ask in asks.as_array().unwrap() {
        assert!(Ask::parse(serde_json::json!({ "ask": ask }).to_string().as_bytes()).is_ok(), "{ask}");
    }
}
