//! What the Casemate profile adds.

use serde_json::json;

use super::repository::{Appliance, Repository, answers, delegation, file, key, keyid, keys, role, serve};
use crate::tuf::client::{Client, TufError};
use crate::tuf::role::RoleName;

/// A client on the sample repository after `bend`, everything published once more.
fn client(bend: impl FnOnce(&mut Repository)) -> (Repository, Result<Client, TufError>) {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    bend(&mut repository);
    repository.publish_all();
    let outcome = appliance.update(&mut repository);
    (repository, outcome)
}

fn accepted(bend: impl FnOnce(&mut Repository)) -> (Repository, Client) {
    let (repository, outcome) = client(bend);
    (repository, outcome.unwrap())
}

fn is_profile(outcome: &Result<Client, TufError>) -> bool {
    matches!(outcome, Err(TufError::Profile { .. }))
}

#[test]
fn a_repository_without_the_profile_is_refused() {
    let mut repository = Repository::new();
    repository.doc("root").as_object_mut().unwrap().remove("x-casemate");
    repository.serve("root");
    assert!(matches!(Appliance::new(&repository).update(&mut repository), Err(TufError::StoredRoot(_))));
    assert!(is_profile(
        &client(|repository| {
            repository.doc("timestamp").as_object_mut().unwrap().remove("x-casemate");
        })
        .1
    ));
}

#[test]
fn the_profiles_data_is_there_and_an_absent_envelope_is_no_envelope() {
    let (_, client) = accepted(|_| {});
    assert_eq!(client.jurisdiction().unwrap().to_string(), "LU");
    assert!(client.envelope().is_none() && !client.is_demo());
}

#[test]
fn owners_list_what_stands_in_their_trees() {
    let (mut repository, mut client) = accepted(|_| {});
    assert_eq!(answers(&mut client, &mut repository, "groups/a/f"), "group.a");
    assert_eq!(answers(&mut client, &mut repository, "tenants/t/f"), "tenant.t");
    assert_eq!(answers(&mut client, &mut repository, "appliances/x.json"), "targets");
    assert_eq!(answers(&mut client, &mut repository, "groups/a/none"), "absent");
    assert_eq!(answers(&mut client, &mut repository, "groups/b/f"), "absent");
}

#[test]
fn targets_in_an_owners_tree_count_only_from_the_owners_role() {
    let own =
        ["groups/a/g", "tenants/t/g", "tenants/other/g", "boundary/main.json", "groups/X/g", "tenants", "groups/a"];
    let (mut repository, mut client) = accepted(|repository| {
        for target in own {
            repository.doc("targets")["targets"][target] = file(b"operator");
        }
    });
    for target in own {
        let answer = answers(&mut client, &mut repository, target);
        assert_eq!(answer, "absent", "{target}");
    }
}

#[test]
fn no_other_role_speaks_for_an_owners_tree() {
    let (mut repository, mut client) = accepted(|repository| {
        repository.delegate(
            "targets",
            "helpful",
            &["tenants/t/*", "*/*"],
            &json!({ "tenants/t/g": file(b"h"), "a/b": file(b"h") }),
        );
    });
    assert_eq!(answers(&mut client, &mut repository, "tenants/t/g"), "absent");
    assert_eq!(answers(&mut client, &mut repository, "a/b"), "helpful");
}

#[test]
fn an_owner_speaks_for_nothing_outside_its_tree() {
    for target in ["appliances/x.json", "groups/b/f", "tenants/t/f", "boundary/main.json", "other"] {
        let (mut repository, mut client) = accepted(|repository| {
            repository.doc("group.a")["targets"][target] = file(b"evil");
            repository.doc("targets")["delegations"]["roles"][0]["paths"] = json!(["*", "*/*", "*/*/*"]);
        });
        assert_eq!(answers(&mut client, &mut repository, "groups/a/f"), "broken group.a", "{target}");
        assert_eq!(answers(&mut client, &mut repository, "tenants/t/f"), "tenant.t", "{target}");
        assert_ne!(answers(&mut client, &mut repository, target), "group.a", "{target}");
    }
}

#[test]
fn an_owner_keeps_to_the_paths_delegated_to_it_even_inside_its_tree() {
    let (mut repository, mut client) = accepted(|repository| {
        repository.doc("targets")["delegations"]["roles"][0]["paths"] = json!(["groups/a/f"]);
        repository.doc("group.a")["targets"]["groups/a/g"] = file(b"g");
    });
    repository.requests.clear();
    assert_eq!(answers(&mut client, &mut repository, "groups/a/z"), "absent");
    assert!(repository.requests.is_empty(), "a role that does not speak for the path is not even asked for");
    let group = RoleName::foreign("group.a");
    assert!(client.load(&group).is_none());
    serve(&mut client, &mut repository).unwrap();
    assert!(matches!(client.load(&group), Some(Err(TufError::Profile { .. }))));
}

#[test]
fn an_owner_does_not_delegate() {
    let (mut repository, mut client) = accepted(|repository| {
        repository.delegate("group.a", "deeper", &["groups/a/*"], &json!({ "groups/a/g": file(b"g") }));
    });
    assert_eq!(answers(&mut client, &mut repository, "groups/a/f"), "broken group.a");
    assert_eq!(answers(&mut client, &mut repository, "tenants/t/f"), "tenant.t");
}

#[test]
fn only_targets_delegates_to_owners() {
    let (mut repository, mut client) = accepted(|repository| {
        repository.delegate("targets", "helpful", &["*/*", "*/*/*"], &json!({}));
        repository.delegate("helpful", "tenant.u", &["tenants/u/*", "x/*"], &json!({ "tenants/u/f": file(b"u") }));
    });
    assert_eq!(answers(&mut client, &mut repository, "tenants/u/f"), "absent");
    assert_eq!(answers(&mut client, &mut repository, "x/f"), "absent");
}

#[test]
fn one_owner_in_every_kind_of_trouble_blocks_no_other() {
    let troubles: [fn(&mut Repository); 4] = [
        |repository| repository.sign_with("group.a", &["tenant"]),
        |repository| repository.doc("group.a")["expires"] = json!("2026-02-01T00:00:00Z"),
        |repository| repository.doc("group.a")["targets"] = json!({ "groups/a/../b": file(b"x") }),
        |repository| repository.doc("group.a")["_type"] = json!("root"),
    ];
    for trouble in troubles {
        let (mut repository, mut client) = accepted(trouble);
        assert_eq!(answers(&mut client, &mut repository, "groups/a/f"), "broken group.a");
        assert_eq!(answers(&mut client, &mut repository, "tenants/t/f"), "tenant.t");
    }
    let (mut repository, mut client) = accepted(|_| {});
    repository.files.remove("2.group.a.json");
    assert_eq!(answers(&mut client, &mut repository, "groups/a/f"), "broken group.a");
    assert_eq!(answers(&mut client, &mut repository, "tenants/t/f"), "tenant.t");
}

#[test]
fn hostile_names_are_refused() {
    for name in ["../x", "a/b", "Group.a", "group.", "group.a.b", "tenant.-", "", "x y", "group.A", ".x"] {
        let outcome = client(|repository| repository.doc("targets")["delegations"]["roles"][0]["name"] = json!(name)).1;
        assert!(matches!(outcome, Err(TufError::Profile { .. } | TufError::Delegations { .. })), "{name:?}");
        let listed =
            client(|repository| repository.doc("snapshot")["meta"][format!("{name}.json")] = json!({ "version": 1 })).1;
        let strict = RoleName::strict(name).is_ok();
        assert!(strict || is_profile(&listed), "{name:?} in the snapshot");
    }
    for target in ["../x", "/x", "a//b", "a/./b", "a\\b", "a b", "-x", "a/", "é"] {
        let outcome = client(|repository| repository.doc("targets")["targets"][target] = file(b"x")).1;
        assert!(is_profile(&outcome), "{target:?}");
        let (mut repository, mut client) = accepted(|_| {});
        assert_eq!(answers(&mut client, &mut repository, target), "absent");
    }
}

#[test]
fn a_tenants_keys_are_pinned_at_admission() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::new(&repository);
    let mut first = appliance.update(&mut repository).unwrap();
    assert_eq!(answers(&mut first, &mut repository, "tenants/t/f"), "tenant.t");
    appliance.keep(&first);
    // The operator gives the tenant's role another key, or lowers its threshold.
    let changes: [fn(&mut Repository); 2] = [
        |repository| {
            let delegations = &mut repository.doc("targets")["delegations"];
            delegations["keys"][keyid("operator")] = json!(key("operator"));
            delegations["roles"][1]["keyids"] = json!([keyid("operator")]);
            repository.sign_with("tenant.t", &["operator"]);
        },
        |repository| {
            let delegations = &mut repository.doc("targets")["delegations"];
            delegations["keys"][keyid("operator")] = json!(key("operator"));
            delegations["roles"][1]["keyids"] = json!([keyid("tenant"), keyid("operator")]);
        },
    ];
    for change in changes {
        let mut changed = Repository::new();
        change(&mut changed);
        changed.publish_all();
        let mut client = appliance.clone().update(&mut changed).unwrap();
        assert_eq!(answers(&mut client, &mut changed, "tenants/t/f"), "broken tenant.t");
        assert!(matches!(client.broken(&RoleName::foreign("tenant.t")), Some(TufError::Pinned { .. })));
        assert_eq!(answers(&mut client, &mut changed, "groups/a/f"), "group.a");
    }
    repository.publish_all();
    let mut client = appliance.update(&mut repository).unwrap();
    assert_eq!(answers(&mut client, &mut repository, "tenants/t/f"), "tenant.t");
}

/// The boundary role with these keys and threshold, signed by `signers`; root says `demo` or not.
fn boundary(words: &[&str], threshold: u32, signers: &[&str], demo: bool) -> String {
    let mut repository = Repository::new();
    if demo {
        repository.doc("root")["x-casemate"]["demo"] = json!(true);
        repository.serve("root");
    }
    let mut appliance = Appliance::new(&repository);
    let delegations = &mut repository.doc("targets")["delegations"];
    for word in words {
        delegations["keys"][keyid(word)] = json!(key(word));
    }
    delegations["roles"].as_array_mut().unwrap().push(delegation("boundary", words, threshold, &["boundary/*".into()]));
    let document = json!({
        "_type": "targets", "spec_version": "1.0.34", "version": 1, "expires": super::repository::in_days(400),
        "targets": { "boundary/main.json": file(b"deny") },
    });
    repository.documents.insert("boundary".into(), document);
    repository.sign_with("boundary", signers);
    repository.serve("boundary");
    repository.publish(&["targets", "snapshot", "timestamp"]);
    let mut client = appliance.update(&mut repository).unwrap();
    answers(&mut client, &mut repository, "boundary/main.json")
}

#[test]
fn the_boundary_needs_two_persons_with_keys_of_targets() {
    assert_eq!(boundary(&["alice", "bob"], 2, &["alice", "bob"], false), "boundary");
    assert_eq!(boundary(&["alice", "bob"], 2, &["alice"], false), "broken boundary");
    assert_eq!(boundary(&["alice"], 1, &["alice"], false), "broken boundary", "one person");
    assert_eq!(boundary(&["alice"], 1, &["alice"], true), "boundary", "one person where the root says demo");
    assert_eq!(boundary(&["alice", "stranger"], 1, &["alice"], true), "broken boundary", "a key targets has not");
    assert_eq!(boundary(&["alice", "bob", "online"], 2, &["alice", "bob"], false), "broken boundary");
}

#[test]
fn a_delegator_cannot_turn_one_person_into_two_by_naming_keys() {
    let (mut repository, mut client) = accepted(|repository| {
        // The group wants two persons; the attacker's key is listed under bob's id.
        let delegations = &mut repository.doc("targets")["delegations"];
        delegations["keys"] = keys(&["tenant", "alice"]);
        delegations["keys"][keyid("bob")] = json!(key("mallory"));
        delegations["roles"][0]["keyids"] = role(&["alice", "bob"], 2)["keyids"].clone();
        delegations["roles"][0]["threshold"] = json!(2);
        repository.sign_with("group.a", &["alice", &format!("mallory={}", keyid("bob"))]);
    });
    assert_eq!(answers(&mut client, &mut repository, "groups/a/f"), "broken group.a");
}

#[test]
fn an_owner_can_be_loaded_by_its_role() {
    let (mut repository, mut client) = accepted(|_| {});
    let group = RoleName::foreign("group.a");
    assert!(client.load(&group).is_none());
    serve(&mut client, &mut repository).unwrap();
    assert!(client.load(&group).unwrap().is_ok());
    assert!(matches!(client.load(&RoleName::foreign("group.none")), Some(Err(TufError::Unlisted { .. }))));
}
