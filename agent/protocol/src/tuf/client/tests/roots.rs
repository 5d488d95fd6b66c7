//! The chain of roots.

use serde_json::json;

use super::repository::{Appliance, Repository, in_days, keys, role};
use crate::tuf::client::{Client, MAX_ROOTS, TufError};

/// Root 2 hands the root role from alice and bob to carol and dave.
fn rotated(signers: &[&str]) -> Repository {
    let mut repository = Repository::new();
    let root = repository.doc("root");
    root["roles"]["root"] = role(&["carol", "dave"], 2);
    root["keys"] = keys(&["alice", "bob", "carol", "dave", "online"]);
    for (word, person) in [("carol", "person-3"), ("dave", "person-4")] {
        root["x-casemate"]["persons"][super::repository::keyid(word)] = json!(person);
    }
    repository.sign_with("root", signers);
    repository
}

fn refusal(repository: &mut Repository) -> TufError {
    let mut appliance = Appliance::new(repository);
    repository.publish(&["root"]);
    let error = appliance.update(repository).unwrap_err();
    assert_eq!(appliance.stored.floors.root.unwrap().version.get(), 1, "root 2 was not accepted");
    error
}

#[test]
fn a_root_signed_by_old_and_new_keys_is_accepted() {
    let mut repository = rotated(&["alice", "bob", "carol", "dave"]);
    let mut appliance = Appliance::new(&repository);
    repository.publish(&["root"]);
    let client = appliance.update(&mut repository).unwrap();
    assert_eq!((client.root().get().version.get(), client.roots().len()), (2, 1));
}

#[test]
fn a_root_signed_only_by_its_old_keys_is_refused() {
    assert!(matches!(refusal(&mut rotated(&["alice", "bob", "carol"])), TufError::Unverified { .. }));
}

#[test]
fn a_root_signed_only_by_its_new_keys_is_refused() {
    assert!(matches!(refusal(&mut rotated(&["alice", "carol", "dave"])), TufError::Unverified { .. }));
}

#[test]
fn a_root_that_skips_a_version_is_refused() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    repository.publish(&["root", "root"]);
    let third = repository.files.remove("3.root.json").unwrap();
    repository.files.insert("2.root.json".into(), third);
    assert!(matches!(appliance.update(&mut repository), Err(TufError::WrongVersion { .. })));
}

#[test]
fn an_intermediate_root_may_be_expired_but_not_the_last_one() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    repository.doc("root")["expires"] = json!("2026-02-01T00:00:00Z");
    repository.publish(&["root"]);
    assert!(matches!(appliance.clone().update(&mut repository), Err(TufError::Expired { .. })));
    repository.doc("root")["expires"] = json!(in_days(800));
    repository.publish(&["root"]);
    assert_eq!(appliance.update(&mut repository).unwrap().root().get().version.get(), 3);
}

#[test]
fn an_expired_root_is_kept_although_nothing_else_is() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    repository.doc("root")["expires"] = json!("2026-02-01T00:00:00Z");
    repository.publish(&["root"]);
    appliance.update(&mut repository).unwrap_err();
    assert_eq!(appliance.stored.floors.root.as_ref().unwrap().version.get(), 2);
    assert_eq!(appliance.stored.floors.timestamp, None);
}

#[test]
fn a_chain_longer_than_the_limit_is_cut_off() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    for _ in 0..=MAX_ROOTS {
        repository.publish(&["root"]);
    }
    assert!(matches!(appliance.update(&mut repository), Err(TufError::RootChainTooLong(MAX_ROOTS))));
    // What was accepted on the way counts: the next run gets the rest.
    assert_eq!(appliance.update(&mut repository).unwrap().root().get().version.get(), MAX_ROOTS as u64 + 2);
}

#[test]
fn roots_that_end_before_the_newest_one_accepted_are_refused() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    let first = appliance.stored.root.clone();
    repository.publish(&["root"]);
    appliance.update(&mut repository).unwrap();
    // The root file is restored from an old backup; the floors are not.
    appliance.stored.root = first;
    let second = repository.files.remove("2.root.json").unwrap();
    assert!(matches!(appliance.clone().update(&mut repository), Err(TufError::RootRollback { .. })));
    repository.files.insert("2.root.json".into(), second);
    appliance.update(&mut repository).unwrap();
}

#[test]
fn another_root_of_an_accepted_version_is_refused() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    let first = appliance.stored.root.clone();
    repository.publish(&["root"]);
    appliance.update(&mut repository).unwrap();
    repository.doc("root")["expires"] = json!(in_days(801));
    repository.serve("root");
    let mut restored = appliance.clone();
    restored.stored.root = first;
    assert!(matches!(restored.update(&mut repository), Err(TufError::Forked { .. })));
    appliance.stored.root = repository.files["2.root.json"].clone();
    assert!(matches!(appliance.update(&mut repository), Err(TufError::StoredRootDiffers { .. })));
}

#[test]
fn a_torn_or_flipped_stored_root_is_an_error_and_never_no_root() {
    let repository = Repository::new();
    let appliance = Appliance::new(&repository);
    let whole = appliance.stored.root.clone();
    let flipped = |position: usize| {
        let mut raw = whole.clone();
        raw[position] ^= 1;
        raw
    };
    let mut damaged: Vec<_> = (0..whole.len()).step_by(97).map(|length| whole[..length].to_vec()).collect();
    let body = whole.windows(8).position(|window| window == b"\"signed\"").unwrap();
    damaged.extend((body..whole.len() - 2).step_by(41).map(flipped));
    for root in damaged {
        let mut stored = appliance.stored.clone();
        stored.root = root;
        assert!(matches!(Client::new(stored, appliance.rules, appliance.clock), Err(TufError::StoredRoot(_))));
    }
}

#[test]
fn the_profile_may_not_vanish_from_the_chain_nor_the_jurisdiction_change() {
    let mut repository = Repository::new();
    repository.doc("root")["x-casemate"]["jurisdiction"] = json!("RS");
    assert!(matches!(refusal(&mut repository), TufError::Jurisdiction { .. }));
    let mut repository = Repository::new();
    repository.doc("root").as_object_mut().unwrap().remove("x-casemate");
    assert!(matches!(refusal(&mut repository), TufError::Profile { .. }));
    let mut repository = Repository::new();
    repository.doc("root")["x-casemate"]["format"] = json!(2);
    assert!(matches!(refusal(&mut repository), TufError::Profile { .. }));
}
