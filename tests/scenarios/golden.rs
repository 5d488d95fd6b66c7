//! State written by the first format's program, committed under `tests/vectors/state-v1`: one generation, one receipt.
//!
//! Read for ever. And as long as nothing is used that only a newer program knows, what is written is what the first one
//! reads as well: `written.txt` holds every record, field and word that it wrote itself when it went the same way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use casemate_protocol::code::Code;
use casemate_protocol::evidence::frame::{self, Found};
use casemate_protocol::evidence::health::HealthState;
use casemate_tests::appliance::Appliance;
use serde_json::Value;

use crate::AGENT;

const HOMESERVER: &str = "groups/clinics/synapse/homeserver.yaml";
/// In front of a segment's frames, bytes.
const SEGMENT_HEADER: usize = 64;
/// Fields the first program passes over: its reader knows none by these names there, and minds none it does not know.
const PASSED_OVER: [&str; 1] = ["accepted.bundle.transport"];
/// In front of a checkpoint's JSON, bytes.
const CHECKPOINT_HEADER: usize = 32;

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/state-v1").join(name)
}

/// The appliance as it was left.
fn restored() -> Appliance {
    let appliance = Appliance::new(AGENT);
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(appliance.path("")).args(["--no-same-owner", "-xpzf"]).arg(vector("state.tar.gz"));
    assert!(tar.status().unwrap().success());
    // The device's public keys, as its request said.
    std::fs::copy(vector("request"), appliance.path("keys")).unwrap();
    appliance
}

fn second() -> Vec<u8> {
    std::fs::read(vector("second.casemate")).unwrap()
}

#[test]
fn the_first_formats_state_opens_and_answers_and_a_bundle_lands_on_top_of_it() {
    let appliance = restored();
    let status = appliance.status();
    assert_eq!((status.timestamp_version, status.owners.len(), status.damage), (Some(1), 1, None));
    assert_eq!(appliance.health().state, HealthState::Ok);
    assert_eq!(appliance.current(HOMESERVER).unwrap(), b"server_name: clinics.example\n");
    assert_eq!(appliance.receipts().len(), 1);

    let report = appliance.import_one(&second());
    assert_eq!(report.code, Code::Applied, "{report:?}");
    assert_eq!(appliance.current(HOMESERVER).unwrap(), b"server_name: second.example\n");
    let receipts = appliance.receipts();
    let owner = &receipts[1].predicate.owners[0];
    let numbers = (owner.before.as_ref().unwrap().number, owner.after.as_ref().unwrap().number);
    assert_eq!((receipts.len(), numbers), (2, (1, 2)));
}

#[test]
fn without_new_features_nothing_is_written_that_the_first_program_could_not_read() {
    let appliance = restored();
    assert_eq!(appliance.import_one(&second()).code, Code::Applied);
    assert_eq!(appliance.import_one(&second()).code, Code::AlreadyApplied);
    assert_ne!(appliance.import_one(b"no bundle").code, Code::Applied);
    let found = written(&appliance.path("state"));
    let list = std::fs::read_to_string(vector("written.txt")).unwrap();
    let known: BTreeSet<&str> = list.lines().collect();
    let passed_over =
        |line: &str| PASSED_OVER.iter().any(|field| line == *field || line.starts_with(&format!("{field} = ")));
    let is_foreign = |line: &&String| !known.contains(line.as_str()) && !passed_over(line);
    let foreign: Vec<_> = found.iter().filter(is_foreign).collect();
    assert!(foreign.is_empty(), "a downgrade would stumble over {foreign:#?}");
    // Both formats go through the same code below; it must see something.
    assert!(found.len() > 60, "{found:#?}");
}

/// Every record and field in the journal and its checkpoints, and every word that may be a variant's name.
fn written(state: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(state.join("journal")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".journal") {
            let mut at = SEGMENT_HEADER;
            while let Found::Frame(frame) = frame::read(&bytes[at..]) {
                for record in &frame.records {
                    let body: Value = serde_json::from_slice(record.body.unwrap()).unwrap();
                    note(&mut found, body["record"].as_str().unwrap(), &body);
                }
                at += frame.padded;
            }
        } else if name.starts_with("checkpoint.") {
            let length = u64::from_le_bytes(bytes[CHECKPOINT_HEADER - 8..CHECKPOINT_HEADER].try_into().unwrap());
            let payload = &bytes[CHECKPOINT_HEADER..][..usize::try_from(length).unwrap()];
            note(&mut found, "checkpoint", &serde_json::from_slice(payload).unwrap());
        }
    }
    found
}

fn note(found: &mut BTreeSet<String>, place: &str, value: &Value) {
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase());
    let is_name = |text: &str| text.bytes().all(|byte| byte == b'_' || byte == b'-' || byte.is_ascii_lowercase());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                // What is no plain word is data: an owner, a number, a digest.
                let key = if is_name(key) { key.as_str() } else { "*" };
                let place = format!("{place}.{key}");
                note(found, &place, value);
                found.insert(place);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| note(found, &format!("{place}[]"), value)),
        Value::String(text) if is_word(text) => {
            found.insert(format!("{place} = {text}"));
        }
        _ => {}
    }
}
