//! Expiry, clocks, lengths, digests, absence.

use serde_json::json;

use super::repository::{Appliance, Repository, TODAY, find, in_days, serve, time};
use crate::code::{Code, Explain};
use crate::evidence::receipt::ClockQuality;
use crate::tuf::client::{Client, Lookup, MAX_TIMESTAMP, TufError, Want};
use crate::tuf::role::RoleName;

const TOP: [&str; 3] = ["targets", "snapshot", "timestamp"];

#[test]
fn expired_metadata_is_never_newly_accepted() {
    for name in TOP {
        let mut repository = Repository::new();
        let mut appliance = Appliance::new(&repository);
        repository.doc(name)["expires"] = json!("2026-02-28T00:00:00Z");
        repository.publish(&TOP);
        let error = appliance.update(&mut repository).unwrap_err();
        assert!(matches!(&error, TufError::Expired { role, .. } if role.as_str() == name), "{error}");
        assert_eq!(error.code(), Code::MetadataExpired);
    }
}

#[test]
fn what_was_accepted_earlier_is_refused_again_once_it_expired() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    appliance.update(&mut repository).unwrap();
    appliance.clock.wall = time(TODAY).plus_days(91);
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Expired { .. })));
}

/// Updates with the wall clock at `wall`.
fn at(appliance: &Appliance, repository: &mut Repository, wall: &str) -> Result<Client, TufError> {
    let mut appliance = appliance.clone();
    appliance.clock.wall = time(wall);
    appliance.update(repository)
}

#[test]
fn a_clock_in_1970_or_far_ahead_is_untrusted_and_blocks_nothing() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    appliance.update(&mut repository).unwrap();
    repository.publish_all();
    for wall in ["1970-01-01T00:00:00Z", "2036-03-01T12:00:00Z", "2038-01-19T03:14:08Z", "9999-12-31T23:59:59Z"] {
        let client = at(&appliance, &mut repository, wall).unwrap();
        assert_eq!(client.clock_quality(), ClockQuality::Untrusted, "{wall}");
        assert_eq!(client.now(), time(TODAY), "judged at signed time");
    }
    assert_eq!(at(&appliance, &mut repository, TODAY).unwrap().clock_quality(), ClockQuality::Plausible);
}

#[test]
fn with_an_untrusted_clock_expiry_is_judged_by_signed_time() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    appliance.update(&mut repository).unwrap();
    // Signed later than this timestamp's own expiry would allow: an old one cannot be passed off as fresh.
    repository.doc("timestamp")["expires"] = json!(in_days(1));
    repository.doc("timestamp")["x-casemate"]["signed_at"] = json!(in_days(2));
    repository.publish_all();
    for wall in ["1970-01-01T00:00:00Z", "2036-03-01T12:00:00Z"] {
        assert!(matches!(at(&appliance, &mut repository, wall), Err(TufError::Expired { .. })), "{wall}");
    }
}

#[test]
fn one_forward_clock_jump_leaves_nothing_behind() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    appliance.update(&mut repository).unwrap();
    repository.publish_all();
    appliance.clock.wall = time("2036-03-01T12:00:00Z");
    appliance.update(&mut repository).unwrap();
    appliance.clock.wall = time(TODAY).plus_days(2);
    repository.doc("timestamp")["x-casemate"]["signed_at"] = json!(in_days(2));
    repository.publish_all();
    let client = appliance.update(&mut repository).unwrap();
    assert_eq!(client.clock_quality(), ClockQuality::Plausible);
    assert_eq!(appliance.stored.floors.time.unwrap().at, time(TODAY).plus_days(2));
}

#[test]
fn the_clock_may_lag_ten_minutes_behind_signed_time_and_not_more() {
    let mut repository = Repository::new();
    let appliance = Appliance::new(&repository);
    let lagging = at(&appliance, &mut repository, "2026-03-01T11:50:00Z").unwrap();
    assert_eq!((lagging.clock_quality(), lagging.now()), (ClockQuality::Plausible, time(TODAY)));
    let behind = at(&appliance, &mut repository, "2026-03-01T11:49:59Z").unwrap();
    assert_eq!(behind.clock_quality(), ClockQuality::Untrusted);
}

#[test]
fn no_time_before_the_build_is_believed() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    appliance.clock.build = time(TODAY).plus_days(91);
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Expired { .. })));
}

#[test]
fn signed_time_never_goes_back() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    appliance.update(&mut repository).unwrap();
    repository.doc("timestamp")["x-casemate"]["signed_at"] = json!("2026-02-01T00:00:00Z");
    repository.publish_all();
    appliance.update(&mut repository).unwrap();
    assert_eq!(appliance.stored.floors.time.unwrap().at, time(TODAY));
}

#[test]
fn a_signing_time_beyond_the_roots_expiry_is_refused() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    repository.doc("timestamp")["x-casemate"]["signed_at"] = json!(in_days(801));
    repository.doc("timestamp")["expires"] = json!(in_days(900));
    repository.publish_all();
    let error = appliance.update(&mut repository).unwrap_err();
    assert!(matches!(error, TufError::SignedAhead { .. }) && appliance.stored.floors.time.is_none());
}

#[test]
fn a_root_that_signed_time_shows_to_be_expired_is_refused() {
    let mut repository = Repository::new();
    repository.doc("root")["expires"] = json!(in_days(30));
    repository.serve("root");
    let mut appliance = Appliance::new(&repository);
    // By the floor this clock is too far ahead to be believed; the new timestamp makes it plausible again.
    appliance.clock.wall = time(TODAY).plus_days(420);
    repository.doc("timestamp")["x-casemate"]["signed_at"] = json!(in_days(29));
    repository.publish_all();
    assert!(
        matches!(appliance.update(&mut repository), Err(TufError::Expired { role, .. }) if role == RoleName::root())
    );
}

#[test]
fn endless_data_is_refused_at_the_stated_length() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    let mut padded = repository.files["timestamp.json"].clone();
    padded.resize(usize::try_from(MAX_TIMESTAMP).unwrap() + 1, b' ');
    repository.files.insert("timestamp.json".into(), padded.clone());
    assert!(matches!(appliance.update(&mut repository), Err(TufError::TooLong { .. })));
    padded.pop();
    repository.files.insert("timestamp.json".into(), padded);
    appliance.update(&mut repository).unwrap();
    for name in ["1.snapshot.json", "1.targets.json"] {
        let mut repository = Repository::new();
        repository.files.get_mut(name).unwrap().push(b' ');
        let error = Appliance::new(&repository).update(&mut repository).unwrap_err();
        assert!(matches!(error, TufError::HashMismatch { .. } | TufError::TooLong { .. }), "{error}");
    }
}

#[test]
fn the_stated_length_caps_what_is_asked_for() {
    let mut repository = Repository::new();
    let appliance = Appliance::new(&repository);
    let mut client = Client::new(appliance.stored, appliance.rules, appliance.clock).unwrap();
    client.absent().unwrap();
    client.got(&repository.files["timestamp.json"].clone()).unwrap();
    let stated = repository.doc("timestamp")["meta"]["snapshot.json"]["length"].as_u64().unwrap();
    let Want::Metadata { max_length, path, .. } = client.want() else { panic!("wants a snapshot") };
    assert_eq!((max_length, path.as_str()), (stated, "1.snapshot.json"));
}

#[test]
fn files_of_different_repository_states_do_not_mix() {
    // A snapshot of the right version whose digest is another's.
    for (algorithm, digest) in [("sha256", "00".repeat(32)), ("sha512", "00".repeat(64)), ("blake2b", "00".repeat(64))]
    {
        for (parent, name) in [("timestamp", "snapshot.json"), ("snapshot", "targets.json")] {
            let mut repository = Repository::new();
            repository.doc(parent)["meta"][name]["hashes"] = json!({ algorithm: digest });
            if parent == "snapshot" {
                repository.serve("snapshot");
            }
            repository.serve("timestamp");
            let error = Appliance::new(&repository).update(&mut repository).unwrap_err();
            assert!(matches!(error, TufError::HashMismatch { .. }), "{algorithm} {name}: {error}");
        }
    }
    // Another version than the one named, where no digest is stated.
    for (parent, name) in [("timestamp", "snapshot"), ("snapshot", "targets")] {
        let mut repository = Repository::new();
        repository.doc(parent)["meta"][format!("{name}.json")] = json!({ "version": 2 });
        if parent == "snapshot" {
            repository.serve("snapshot");
        }
        repository.serve("timestamp");
        let old = repository.files[&format!("1.{name}.json")].clone();
        repository.files.insert(format!("2.{name}.json"), old);
        let error = Appliance::new(&repository).update(&mut repository).unwrap_err();
        assert!(matches!(error, TufError::WrongVersion { .. }), "{name}: {error}");
    }
}

#[test]
fn a_stated_length_is_the_length() {
    for (parent, name) in [("timestamp", "snapshot.json"), ("snapshot", "targets.json")] {
        let mut repository = Repository::new();
        let longer = repository.files[&format!("1.{name}")].len() + 1;
        repository.doc(parent)["meta"][name] = json!({ "version": 1, "length": longer });
        if parent == "snapshot" {
            repository.serve("snapshot");
        }
        repository.serve("timestamp");
        let error = Appliance::new(&repository).update(&mut repository).unwrap_err();
        assert!(matches!(error, TufError::HashMismatch { .. }), "{name}: {error}");
    }
}

#[test]
fn only_the_next_root_may_be_absent() {
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut repository = Repository::new();
        repository.files.remove(name);
        let error = Appliance::new(&repository).update(&mut repository).unwrap_err();
        assert!(matches!(error, TufError::Missing { .. }), "{name}: {error}");
    }
}

#[test]
fn a_refused_document_leaves_the_client_where_it_stood() {
    let mut repository = Repository::new();
    let appliance = Appliance::new(&repository);
    let mut client = Client::new(appliance.stored, appliance.rules, appliance.clock).unwrap();
    client.absent().unwrap();
    for garbage in [&b"{}"[..], b"", b"[]", b"\xff"] {
        client.got(garbage).unwrap_err();
    }
    serve(&mut client, &mut repository).unwrap();
    assert!(matches!(find(&mut client, &mut repository, "appliances/x.json"), Lookup::Found { .. }));
    assert!(matches!(client.got(b"{}"), Err(TufError::Unwanted)) && matches!(client.absent(), Err(TufError::Unwanted)));
}

#[test]
fn names_carry_versions_only_in_a_consistent_repository() {
    let mut repository = Repository::new();
    repository.doc("root")["consistent_snapshot"] = json!(false);
    repository.serve("root");
    for name in ["snapshot", "targets", "group.a"] {
        let raw = repository.files.remove(&format!("1.{name}.json")).unwrap();
        repository.files.insert(format!("{name}.json"), raw);
    }
    let mut client = Appliance::new(&repository).update(&mut repository).unwrap();
    let Lookup::Found { file, .. } = find(&mut client, &mut repository, "groups/a/f") else { panic!("is listed") };
    assert_eq!(client.target_path("groups/a/f", &file), "groups/a/f");
    assert_eq!(repository.requests, ["2.root.json", "timestamp.json", "snapshot.json", "targets.json", "group.a.json"]);
}

#[test]
fn what_is_cached_and_current_is_not_asked_for_again() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    appliance.update(&mut repository).unwrap();
    repository.requests.clear();
    appliance.update(&mut repository).unwrap();
    assert_eq!(repository.requests, ["2.root.json", "timestamp.json"]);
}
