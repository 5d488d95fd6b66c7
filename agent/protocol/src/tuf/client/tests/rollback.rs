//! Old versions, other content under the same version, and the way back after a leaked key.

use serde_json::json;

use super::repository::{Appliance, Repository, TODAY, in_days, keys, role, time};
use crate::tuf::client::TufError;
use crate::tuf::role::RoleName;

const LAST_VERSION: u64 = i64::MAX as u64;

fn updated() -> (Repository, Appliance) {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    repository.publish_all();
    appliance.update(&mut repository).unwrap();
    (repository, appliance)
}

/// The appliance as it is, without cache, and with each cached file torn or flipped: floors alone decide.
fn damaged(appliance: &Appliance) -> Vec<Appliance> {
    let mut all = vec![appliance.clone()];
    let mut bare = appliance.clone();
    bare.stored.cached.clear();
    all.push(bare);
    for name in ["timestamp", "snapshot", "targets"] {
        let role = RoleName::foreign(name);
        let whole = appliance.stored.cached[&role].clone();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 4;
        for content in [Vec::new(), whole[..whole.len() / 2].to_vec(), flipped] {
            let mut copy = appliance.clone();
            copy.stored.cached.insert(role.clone(), content);
            all.push(copy);
        }
    }
    all
}

fn is_rollback(error: &TufError) -> bool {
    matches!(error, TufError::Rollback { .. } | TufError::Dropped { .. })
}

#[test]
fn an_older_repository_is_refused_also_after_its_cached_files_were_torn_or_flipped() {
    let old = Repository::new();
    let (_, appliance) = updated();
    for mut appliance in damaged(&appliance) {
        let mut old = Repository { files: old.files.clone(), ..Repository::new() };
        let before = appliance.stored.floors.clone();
        assert!(is_rollback(&appliance.update(&mut old).unwrap_err()));
        assert_eq!(appliance.stored.floors, before);
    }
}

#[test]
fn torn_cached_files_only_cost_a_download() {
    let (mut repository, appliance) = updated();
    for mut appliance in damaged(&appliance) {
        appliance.update(&mut repository).unwrap();
    }
}

#[test]
fn an_older_snapshot_named_by_a_newer_timestamp_is_refused_also_after_restart() {
    let (mut repository, appliance) = updated();
    repository.doc("snapshot")["version"] = json!(1);
    repository.serve("snapshot");
    repository.publish(&["timestamp"]);
    for mut appliance in damaged(&appliance) {
        assert!(
            matches!(appliance.update(&mut repository), Err(TufError::Rollback { role, .. }) if role == RoleName::snapshot())
        );
        assert_eq!(appliance.stored.floors.timestamp.unwrap().version.get(), 2, "the timestamp was not taken either");
    }
}

#[test]
fn a_snapshot_named_before_binds_even_if_it_was_never_seen() {
    let (mut repository, mut appliance) = updated();
    let snapshot = repository.doc("snapshot").clone();
    repository.publish(&["snapshot"]);
    repository.files.remove("3.snapshot.json");
    repository.publish(&["timestamp"]);
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Missing { .. })));
    *repository.doc("snapshot") = snapshot;
    repository.serve("snapshot");
    repository.publish(&["timestamp"]);
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Rollback { .. })));
}

#[test]
fn older_targets_or_owners_listed_by_a_newer_snapshot_are_refused() {
    for name in ["targets", "group.a"] {
        let (mut repository, appliance) = updated();
        repository.doc(name)["version"] = json!(1);
        repository.serve(name);
        repository.publish(&["snapshot", "timestamp"]);
        for mut appliance in damaged(&appliance) {
            let error = appliance.update(&mut repository).unwrap_err();
            assert!(matches!(&error, TufError::Rollback { role, .. } if role.as_str() == name), "{error}");
        }
    }
}

#[test]
fn a_role_that_vanishes_from_the_snapshot_is_refused() {
    let (mut repository, mut appliance) = updated();
    repository.doc("snapshot")["meta"].as_object_mut().unwrap().remove("group.a.json");
    repository.publish(&["snapshot", "timestamp"]);
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Dropped { .. })));
}

#[test]
fn two_contents_of_one_version_are_refused() {
    // Timestamp.
    let (mut repository, appliance) = updated();
    repository.doc("timestamp")["expires"] = json!(in_days(80));
    repository.serve("timestamp");
    for mut appliance in damaged(&appliance) {
        assert!(matches!(appliance.update(&mut repository), Err(TufError::Forked { .. })));
    }
    // Snapshot and targets, under a newer timestamp.
    for name in ["snapshot", "targets"] {
        let (mut repository, appliance) = updated();
        repository.doc(name)["expires"] = json!(in_days(399));
        repository.serve(name);
        repository.publish(if name == "targets" { &["snapshot", "timestamp"] } else { &["timestamp"] });
        for mut appliance in damaged(&appliance) {
            let error = appliance.update(&mut repository).unwrap_err();
            assert!(matches!(&error, TufError::Forked { role, .. } if role.as_str() == name), "{error}");
        }
    }
}

#[test]
fn a_further_signature_under_the_same_version_is_no_other_content() {
    let (mut repository, mut appliance) = updated();
    repository.sign_with("timestamp", &["online", "stranger"]);
    repository.serve("timestamp");
    appliance.update(&mut repository).unwrap();
}

#[test]
fn a_foreign_repository_that_signs_twice_under_one_version_changes_nothing() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::foreign(&repository);
    let client = appliance.update(&mut repository).unwrap();
    let first = client.timestamp().unwrap().digest();
    repository.doc("timestamp")["meta"]["snapshot.json"] = json!({ "version": 100 });
    repository.serve("timestamp");
    assert_eq!(appliance.update(&mut repository).unwrap().timestamp().unwrap().digest(), first);
    // The stored copy decides nothing: without it, or with the other document in its place, there is no going on.
    let other = repository.files["timestamp.json"].clone();
    let mut swapped = appliance.clone();
    swapped.stored.cached.insert(RoleName::timestamp(), other);
    assert!(matches!(swapped.update(&mut repository), Err(TufError::Forked { .. })));
    appliance.stored.cached.clear();
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Forked { .. })));
}

/// Root 2 takes the vote of the leaked online key away for `roles`.
fn rotate_online(repository: &mut Repository, roles: &[&str]) {
    repository.doc("root")["keys"] = keys(&["alice", "bob", "online", "fresh"]);
    for name in roles {
        repository.doc("root")["roles"][*name] = role(&["fresh"], 1);
        repository.sign_with(name, &["fresh"]);
    }
    repository.publish(&["root"]);
}

/// A leaked key pushed `name` to the last version there is, and the appliance saw it.
fn fast_forwarded(name: &str) -> (Repository, Appliance) {
    let (mut repository, mut appliance) = updated();
    repository.doc(name)["version"] = json!(LAST_VERSION);
    repository.serve(name);
    let after: &[&str] = match name {
        "timestamp" => &[],
        "snapshot" => &["timestamp"],
        _ => &["snapshot", "timestamp"],
    };
    repository.publish(after);
    appliance.update(&mut repository).unwrap();
    repository.doc(name)["version"] = json!(3);
    repository.serve(name);
    (repository, appliance)
}

#[test]
fn a_fast_forwarded_timestamp_is_undone_by_rotating_its_key_and_by_nothing_less() {
    let (mut repository, mut appliance) = fast_forwarded("timestamp");
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Rollback { .. })));
    rotate_online(&mut repository, &["timestamp"]);
    repository.serve("timestamp");
    appliance.update(&mut repository).unwrap();
    assert_eq!(appliance.stored.floors.timestamp.unwrap().version.get(), 3);
}

#[test]
fn a_fast_forwarded_snapshot_is_undone_by_rotating_timestamp_and_snapshot_keys() {
    let (mut repository, appliance) = fast_forwarded("snapshot");
    let mut only_snapshot = Repository { files: repository.files.clone(), ..Repository::new() };
    only_snapshot.documents = repository.documents.clone();
    rotate_online(&mut only_snapshot, &["snapshot"]);
    only_snapshot.serve("snapshot");
    only_snapshot.publish(&["timestamp"]);
    // The timestamp's word for that snapshot version still stands.
    assert!(matches!(appliance.clone().update(&mut only_snapshot), Err(TufError::Rollback { .. })));
    rotate_online(&mut repository, &["snapshot", "timestamp"]);
    repository.serve("snapshot");
    repository.publish(&["timestamp"]);
    let mut appliance = appliance;
    appliance.update(&mut repository).unwrap();
}

#[test]
fn fast_forwarded_targets_are_undone_by_rotating_the_snapshot_key() {
    let (mut repository, mut appliance) = fast_forwarded("targets");
    repository.publish(&["snapshot", "timestamp"]);
    assert!(matches!(appliance.clone().update(&mut repository), Err(TufError::Rollback { .. })));
    rotate_online(&mut repository, &["snapshot"]);
    repository.publish(&["snapshot", "timestamp"]);
    appliance.update(&mut repository).unwrap();
}

#[test]
fn a_new_root_that_leaves_the_old_signers_their_say_lowers_no_floor() {
    let (mut repository, mut appliance) = fast_forwarded("timestamp");
    repository.doc("root")["keys"] = keys(&["alice", "bob", "online", "fresh"]);
    repository.doc("root")["roles"]["timestamp"] = role(&["online", "fresh"], 1);
    repository.publish(&["root"]);
    repository.sign_with("timestamp", &["fresh"]);
    repository.serve("timestamp");
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Rollback { .. })));
}

#[test]
fn a_rotated_timestamp_key_takes_its_claims_about_the_time_away() {
    let (mut repository, mut appliance) = updated();
    repository.doc("timestamp")["x-casemate"]["signed_at"] = json!(in_days(700));
    repository.doc("timestamp")["expires"] = json!(in_days(790));
    repository.publish(&["timestamp"]);
    // Pushed so far ahead that targets look expired.
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Expired { .. })));
    assert_eq!(appliance.stored.floors.time.as_ref().unwrap().at, time(TODAY).plus_days(700));
    rotate_online(&mut repository, &["timestamp"]);
    repository.doc("timestamp")["x-casemate"]["signed_at"] = json!(in_days(1));
    repository.publish(&["timestamp"]);
    let client = appliance.update(&mut repository).unwrap();
    assert_eq!(client.now(), time(TODAY).plus_days(1));
}

#[test]
fn floors_survive_being_written_and_read() {
    let (_, appliance) = updated();
    let text = serde_json::to_string(&appliance.stored.floors).unwrap();
    assert_eq!(serde_json::from_str::<crate::tuf::floors::Floors>(&text).unwrap(), appliance.stored.floors);
    assert!(text.len() < 2_000, "{}", text.len());
}

#[test]
fn another_timestamp_under_one_version_is_not_covered_by_a_cached_one_that_was_never_accepted() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::foreign(&repository);
    appliance.update(&mut repository).unwrap();
    // Both are signed and of the accepted version, and neither is what was accepted.
    repository.doc("timestamp")["expires"] = json!(in_days(40));
    repository.serve("timestamp");
    let planted = repository.files["timestamp.json"].clone();
    repository.doc("timestamp")["expires"] = json!(in_days(41));
    repository.serve("timestamp");
    // What was accepted stands in for the fork, as TUF asks of a client that is not ours alone.
    appliance.clone().update(&mut repository).unwrap();
    appliance.stored.cached.insert(RoleName::timestamp(), planted);
    let error = appliance.update(&mut repository).unwrap_err();
    assert!(matches!(error, TufError::Forked { .. }), "{error}");
}
