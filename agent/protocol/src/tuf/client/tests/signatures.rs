//! Who has signed, what, and how often.

use serde_json::json;

use super::repository::{Appliance, Repository, in_days, key, keyid, keys, role, sign};
use crate::tuf::client::{Client, TufError};

const ROLES: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

/// The next version of `name`, and of what must list it, after `bend`.
fn refusal(name: &str, bend: impl FnOnce(&mut Repository)) -> TufError {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    appliance.update(&mut repository).unwrap();
    bend(&mut repository);
    let chain: &[&str] = match name {
        "targets" => &["targets", "snapshot", "timestamp"],
        "snapshot" => &["snapshot", "timestamp"],
        _ => &[name],
    };
    repository.publish(chain);
    appliance.update(&mut repository).unwrap_err()
}

fn is_unsigned(error: &TufError, name: &str) -> bool {
    matches!(error, TufError::Unverified { role, source: crate::verify::VerifyError::Threshold { .. } } if role.as_str() == name)
}

#[test]
fn documents_signed_by_strangers_are_refused() {
    for name in ROLES {
        let error = refusal(name, |repository| repository.sign_with(name, &["mallory", "trudy"]));
        assert!(is_unsigned(&error, name), "{error}");
    }
}

#[test]
fn documents_without_signatures_are_refused() {
    for name in ROLES {
        let error = refusal(name, |repository| repository.sign_with(name, &[]));
        assert!(is_unsigned(&error, name), "{error}");
    }
}

#[test]
fn a_changed_byte_under_a_right_signature_is_refused() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    let mut raw = sign(&repository.documents["timestamp"], &["online"]);
    let at = raw.windows(10).position(|window| window == b"\"expires\":").unwrap() + 14;
    raw[at] = b'7';
    repository.serve_raw("timestamp", raw);
    assert!(is_unsigned(&appliance.update(&mut repository).unwrap_err(), "timestamp"));
}

#[test]
fn a_role_may_not_be_signed_with_another_roles_keys() {
    let error = refusal("targets", |repository| repository.sign_with("targets", &["online", "group"]));
    assert!(is_unsigned(&error, "targets"), "{error}");
}

#[test]
fn only_keys_of_the_role_are_remembered_as_its_signers() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    repository.sign_with("timestamp", &["online", "alice"]);
    repository.serve("timestamp");
    let client = appliance.update(&mut repository).unwrap();
    let online = crate::keys::PublicKey::parse(&key("online")).unwrap().fingerprint();
    assert!(client.timestamp().unwrap().signers().iter().eq([&online]));
}

#[test]
fn fewer_signatures_than_the_threshold_are_refused() {
    for name in ["root", "targets"] {
        let error = refusal(name, |repository| repository.sign_with(name, &["alice"]));
        assert!(is_unsigned(&error, name), "{error}");
    }
}

#[test]
fn one_key_twice_under_two_ids_counts_once() {
    let error = refusal("root", |repository| {
        let root = repository.doc("root");
        root["keys"]["alias"] = json!(key("alice"));
        root["roles"]["targets"]["keyids"] = json!([keyid("alice"), "alias"]);
        root["x-casemate"]["persons"]["alias"] = json!("person-2");
        repository.publish(&["root"]);
        repository.sign_with("targets", &["alice", "alice=alias"]);
        repository.publish(&["targets", "snapshot", "timestamp"]);
    });
    assert!(is_unsigned(&error, "targets"), "{error}");
}

#[test]
fn one_key_id_listed_twice_counts_once() {
    let error = refusal("root", |repository| {
        repository.doc("root")["roles"]["targets"]["keyids"] = json!([keyid("alice"), keyid("alice")]);
        repository.publish(&["root"]);
        repository.sign_with("targets", &["alice"]);
        repository.publish(&["targets", "snapshot", "timestamp"]);
    });
    assert!(is_unsigned(&error, "targets"), "{error}");
}

#[test]
fn two_signatures_under_one_key_id_are_refused() {
    let error = refusal("timestamp", |repository| repository.sign_with("timestamp", &["online", "online"]));
    assert!(matches!(error, TufError::Unverified { source: crate::verify::VerifyError::DuplicateSignature(_), .. }));
}

#[test]
fn two_keys_of_one_person_count_as_one_person() {
    let error = refusal("root", |repository| {
        repository.doc("root")["x-casemate"]["persons"][keyid("bob")] = json!("person-1");
        repository.publish(&["root"]);
        repository.publish(&["targets", "snapshot", "timestamp"]);
    });
    // Already root 3 fails: root 2 was signed by two persons in root 1's eyes, and by one in its own.
    assert!(is_unsigned(&error, "root"), "{error}");
}

/// Root 2 gives targets the keys `alice` and `second` at threshold 2 and bends the profile.
fn second_signer(bend: impl FnOnce(&mut serde_json::Value)) -> Result<Client, TufError> {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    let root = repository.doc("root");
    root["keys"] = keys(&["alice", "bob", "online", "second"]);
    root["roles"]["targets"] = role(&["alice", "second"], 2);
    bend(&mut root["x-casemate"]);
    repository.publish(&["root"]);
    repository.sign_with("targets", &["alice", "second"]);
    repository.publish_all();
    appliance.update(&mut repository)
}

#[test]
fn above_threshold_one_persons_count_and_a_key_without_person_does_not() {
    let person =
        |token: &'static str| move |profile: &mut serde_json::Value| profile["persons"][keyid("second")] = json!(token);
    second_signer(person("person-3")).unwrap();
    for refused in [second_signer(person("person-1")), second_signer(|_| {})] {
        assert!(is_unsigned(&refused.unwrap_err(), "targets"));
    }
    let demo = second_signer(|profile| profile["demo"] = json!(true)).unwrap();
    assert!(demo.is_demo());
}

#[test]
fn a_foreign_repository_knows_no_persons() {
    let mut repository = Repository::new();
    repository.doc("root").as_object_mut().unwrap().remove("x-casemate");
    repository.serve("root");
    let client = Appliance::foreign(&repository).update(&mut repository).unwrap();
    assert!(client.jurisdiction().is_none() && client.envelope().is_none() && !client.is_demo());
}

#[test]
fn unknown_algorithms_never_count_and_do_not_spoil_the_known_ones() {
    let unknown = json!({ "keytype": "ml-dsa", "scheme": "ml-dsa-65", "keyval": { "public": "00" } });
    let other_shape = json!({ "keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": { "identity": "x" } });
    let with = |threshold: u32| {
        let mut repository = Repository::new();
        let mut appliance = Appliance::new(&repository);
        let root = repository.doc("root");
        root["keys"]["new-1"] = unknown.clone();
        root["keys"]["new-2"] = other_shape.clone();
        root["roles"]["timestamp"] = role(&["online"], threshold);
        root["roles"]["timestamp"]["keyids"] = json!([keyid("online"), "new-1", "new-2"]);
        root["x-casemate"]["demo"] = json!(true);
        repository.publish(&["root"]);
        repository.sign_with("timestamp", &["online", "alice=new-1", "bob=new-2"]);
        repository.publish(&["timestamp"]);
        appliance.update(&mut repository)
    };
    with(1).unwrap();
    assert!(is_unsigned(&with(2).unwrap_err(), "timestamp"));
}

#[test]
fn a_threshold_of_zero_is_impossible_to_meet() {
    let error = refusal("root", |repository| {
        repository.doc("root")["roles"]["timestamp"]["threshold"] = json!(0);
        repository.publish(&["root"]);
        repository.sign_with("timestamp", &[]);
        repository.publish(&["timestamp"]);
    });
    assert!(matches!(error, TufError::Unverified { .. }));
}

#[test]
fn a_document_of_another_type_is_refused() {
    let error = refusal("root", |repository| {
        repository.doc("timestamp")["_type"] = json!("snapshot");
        repository.publish(&["timestamp"]);
    });
    assert!(matches!(error, TufError::Unverified { source: crate::verify::VerifyError::Type { .. }, .. }), "{error}");
}

#[test]
fn another_specification_is_refused() {
    let error = refusal("timestamp", |repository| repository.doc("timestamp")["spec_version"] = json!("2.0.0"));
    assert!(matches!(error, TufError::Unverified { source: crate::verify::VerifyError::SpecVersion(_), .. }));
}

#[test]
fn versions_zero_and_beyond_2_to_the_63_are_refused() {
    for version in [0, 1 << 63, u64::MAX] {
        for name in ["timestamp", "snapshot", "targets"] {
            let mut repository = Repository::new();
            let mut appliance = Appliance::new(&repository);
            let served = repository.version(name);
            repository.doc(name)["version"] = json!(version);
            let raw = sign(
                &repository.documents[name],
                &repository.signers[name].iter().map(String::as_str).collect::<Vec<_>>(),
            );
            repository.doc(name)["version"] = json!(served);
            repository.serve_raw(name, raw);
            if name == "targets" {
                repository.serve("snapshot");
            }
            if name != "timestamp" {
                repository.serve("timestamp");
            }
            let error = appliance.update(&mut repository).unwrap_err();
            let shape = matches!(&error, TufError::Unverified { source: crate::verify::VerifyError::Shape(_), .. });
            assert!(shape, "{name} {version}: {error}");
        }
    }
}

#[test]
fn a_repeated_key_in_a_document_is_refused() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    let text = String::from_utf8(sign(&repository.documents["timestamp"], &["online"])).unwrap();
    let doubled = text.replacen("\"signed\":{", &format!("\"signed\":{{\"expires\":\"{}\",", in_days(9_000)), 1);
    repository.serve_raw("timestamp", doubled.into_bytes());
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Malformed { .. })));
}

#[test]
fn a_key_the_root_knows_counts_only_for_roles_that_list_it() {
    // One signature is enough for both, and alice's is a right one, by a key of this very root.
    for name in ["snapshot", "timestamp"] {
        let error = refusal(name, |repository| repository.sign_with(name, &["alice"]));
        assert!(is_unsigned(&error, name), "{error}");
    }
}
