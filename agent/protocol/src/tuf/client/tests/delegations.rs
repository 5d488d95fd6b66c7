//! Delegated roles and the search through them, without the profile.

use serde_json::{Value, json};

use super::repository::{Appliance, Repository, answers, file, key, keyid};
use crate::tuf::client::{Client, Lookup, TufError};
use crate::tuf::role::RoleName;

type Bend = fn(&mut Repository);

/// A foreign repository with these delegations (delegator, role, patterns, targets), and a client on it.
fn graph(edges: &[(&str, &str, &[&str], Value)]) -> (Repository, Client) {
    graph_with(edges, |_| {})
}

fn graph_with(edges: &[(&str, &str, &[&str], Value)], bend: impl FnOnce(&mut Repository)) -> (Repository, Client) {
    let mut repository = Repository::new();
    repository.doc("targets")["delegations"] = Value::Null;
    repository.doc("targets").as_object_mut().unwrap().remove("delegations");
    let mut appliance = Appliance::foreign(&repository);
    let mut names = Vec::new();
    for (delegator, name, patterns, targets) in edges {
        repository.delegate(delegator, name, patterns, targets);
        if !names.contains(name) {
            names.push(*name);
        }
    }
    bend(&mut repository);
    repository.publish(&names);
    repository.publish(&["targets", "snapshot", "timestamp"]);
    let client = appliance.update(&mut repository).unwrap();
    repository.requests.clear();
    (repository, client)
}

#[test]
fn roles_are_read_only_when_a_search_needs_them_and_in_their_order() {
    let none = || json!({});
    let (mut repository, mut client) = graph(&[
        ("targets", "A", &["*"], none()),
        ("targets", "B", &["*"], json!({ "f": file(b"B") })),
        ("A", "C", &["*.py"], none()),
        ("A", "D", &["*"], none()),
    ]);
    assert_eq!(answers(&mut client, &mut repository, "f"), "B");
    assert_eq!(repository.requests, ["1.A.json", "1.D.json", "1.B.json"]);
}

#[test]
fn a_terminating_delegation_ends_the_search() {
    let edges: [(&str, &str, &[&str], Value); 2] =
        [("targets", "A", &["*"], json!({})), ("targets", "B", &["*"], json!({ "f": file(b"B") }))];
    let (mut repository, mut client) = graph_with(&edges, |repository| {
        repository.doc("targets")["delegations"]["roles"][0]["terminating"] = json!(true);
    });
    assert_eq!(answers(&mut client, &mut repository, "f"), "absent");
}

#[test]
fn a_terminating_delegation_further_down_ends_the_search_for_its_elders_too() {
    let edges: [(&str, &str, &[&str], Value); 3] = [
        ("targets", "A", &["*"], json!({})),
        ("targets", "B", &["*"], json!({ "f": file(b"B") })),
        ("A", "C", &["*"], json!({})),
    ];
    let (mut repository, mut client) = graph_with(&edges, |repository| {
        repository.doc("A")["delegations"]["roles"][0]["terminating"] = json!(true);
    });
    assert_eq!(answers(&mut client, &mut repository, "f"), "absent");
}

#[test]
fn a_cycle_ends() {
    let (mut repository, mut client) =
        graph(&[("targets", "A", &["*"], json!({})), ("A", "B", &["*"], json!({})), ("B", "A", &["*"], json!({}))]);
    assert_eq!(answers(&mut client, &mut repository, "f"), "absent");
    assert_eq!(repository.requests, ["1.A.json", "1.B.json"]);
}

#[test]
fn a_search_through_too_many_roles_ends() {
    let names: Vec<_> = (0..40).map(|number| format!("r{number}")).collect();
    let mut edges: Vec<(&str, &str, &[&str], Value)> = vec![("targets", names[0].as_str(), &["*"], json!({}))];
    for pair in names.windows(2) {
        edges.push((pair[0].as_str(), pair[1].as_str(), &["*"], json!({})));
    }
    edges.last_mut().unwrap().3 = json!({ "f": file(b"deep") });
    let (mut repository, mut client) = graph(&edges);
    assert_eq!(answers(&mut client, &mut repository, "f"), "absent");
    assert!(repository.requests.len() <= 33, "{}", repository.requests.len());
}

#[test]
fn a_role_lists_nothing_outside_the_paths_delegated_to_it() {
    let (mut repository, mut client) =
        graph(&[("targets", "A", &["a/*"], json!({ "a/f": file(b"a"), "b/f": file(b"b"), "a/b/f": file(b"c") }))]);
    assert_eq!(answers(&mut client, &mut repository, "a/f"), "A");
    assert_eq!(answers(&mut client, &mut repository, "b/f"), "absent");
    assert_eq!(answers(&mut client, &mut repository, "a/b/f"), "absent", "a star never crosses a slash");
}

#[test]
fn hash_prefixes_and_bins_divide_the_paths() {
    let edges: [(&str, &str, &[&str], Value); 1] =
        [("targets", "A", &["*"], json!({ "a": file(b"1"), "b": file(b"2") }))];
    // SHA-256("a") = ca97…, SHA-256("b") = 3e23….
    let (mut repository, mut client) = graph_with(&edges, |repository| {
        let role = &mut repository.doc("targets")["delegations"]["roles"][0];
        role.as_object_mut().unwrap().remove("paths");
        role["path_hash_prefixes"] = json!(["ca"]);
    });
    assert_eq!(answers(&mut client, &mut repository, "a"), "A");
    assert_eq!(answers(&mut client, &mut repository, "b"), "absent");
    let bins: [(&str, &str, &[&str], Value); 2] = [
        ("targets", "bin-0", &["*"], json!({ "b": file(b"2") })),
        ("targets", "bin-1", &["*"], json!({ "a": file(b"1"), "b": file(b"3") })),
    ];
    let (mut repository, mut client) = graph_with(&bins, |repository| {
        repository.sign_with("bin-1", &["bin-0"]);
        let succinct = json!({ "keyids": [keyid("bin-0")], "threshold": 1, "bit_length": 1, "name_prefix": "bin" });
        let keys = json!({ keyid("bin-0"): key("bin-0") });
        repository.doc("targets")["delegations"] = json!({ "keys": keys, "succinct_roles": succinct });
    });
    assert_eq!(answers(&mut client, &mut repository, "a"), "bin-1");
    assert_eq!(answers(&mut client, &mut repository, "b"), "bin-0");
    assert!(client.load(&RoleName::foreign("bin-2")).unwrap().is_err());
}

#[test]
fn a_broken_role_blocks_the_paths_it_owns_and_no_other() {
    let edges: [(&str, &str, &[&str], Value); 2] = [
        ("targets", "A", &["a/*", "common"], json!({})),
        ("targets", "B", &["b/*", "common"], json!({ "b/f": file(b"b"), "common": file(b"B") })),
    ];
    let broken: [(&str, Bend); 4] = [
        ("unsigned", |repository| repository.sign_with("A", &["mallory"])),
        ("expired", |repository| repository.doc("A")["expires"] = json!("2026-02-01T00:00:00Z")),
        ("of another type", |repository| repository.doc("A")["_type"] = json!("snapshot")),
        ("malformed", |repository| repository.doc("A")["targets"] = json!([])),
    ];
    for (how, bend) in broken {
        let (mut repository, mut client) = graph_with(&edges, bend);
        assert_eq!(answers(&mut client, &mut repository, "b/f"), "B", "{how}");
        assert_eq!(answers(&mut client, &mut repository, "a/f"), "broken A", "{how}");
        assert_eq!(answers(&mut client, &mut repository, "common"), "broken A", "{how}: B has a lower priority");
        assert!(client.broken(&RoleName::foreign("A")).is_some());
    }
}

#[test]
fn a_withheld_role_does_not_hand_its_paths_to_the_next_one() {
    let (mut repository, mut client) = graph(&[
        ("targets", "A", &["*"], json!({ "f": file(b"A") })),
        ("targets", "B", &["*"], json!({ "f": file(b"B") })),
    ]);
    repository.files.remove("1.A.json");
    assert_eq!(answers(&mut client, &mut repository, "f"), "broken A");
}

#[test]
fn a_delegated_role_is_the_version_and_the_bytes_its_snapshot_lists() {
    let edges: [(&str, &str, &[&str], Value); 1] = [("targets", "A", &["*"], json!({ "f": file(b"A") }))];
    let (mut repository, mut client) = graph(&edges);
    repository.files.get_mut("1.A.json").unwrap().push(b' ');
    assert_eq!(answers(&mut client, &mut repository, "f"), "broken A");
}

#[test]
fn a_role_the_snapshot_does_not_list_is_not_even_asked_for() {
    let mut repository = Repository::new();
    let mut appliance = Appliance::foreign(&repository);
    repository.delegate("targets", "A", &["*"], &json!({ "f": file(b"A") }));
    repository.publish(&["targets", "snapshot", "timestamp"]);
    let mut client = appliance.update(&mut repository).unwrap();
    repository.requests.clear();
    assert_eq!(answers(&mut client, &mut repository, "f"), "broken A");
    assert!(matches!(client.broken(&RoleName::foreign("A")), Some(TufError::Unlisted { .. })));
    assert!(repository.requests.is_empty());
}

#[test]
fn what_one_delegator_vouches_for_another_does_not() {
    let edges: [(&str, &str, &[&str], Value); 4] = [
        ("targets", "A", &["a/*"], json!({})),
        ("targets", "B", &["b/*"], json!({})),
        ("A", "shared", &["a/*"], json!({ "a/f": file(b"a"), "b/f": file(b"b") })),
        ("B", "shared", &["b/*"], json!({})),
    ];
    let (mut repository, mut client) = graph_with(&edges, |repository| {
        // B names another key for it.
        let roles = &mut repository.doc("B")["delegations"];
        roles["keys"][keyid("other")] = json!(key("other"));
        roles["roles"][0]["keyids"] = json!([keyid("other")]);
    });
    assert_eq!(answers(&mut client, &mut repository, "a/f"), "shared");
    assert_eq!(answers(&mut client, &mut repository, "b/f"), "broken shared");
}

#[test]
fn impossible_delegations_are_refused() {
    let refused = |bend: fn(&mut Value)| {
        let mut repository = Repository::new();
        let mut appliance = Appliance::foreign(&repository);
        bend(&mut repository.doc("targets")["delegations"]);
        repository.publish_all();
        matches!(appliance.update(&mut repository), Err(TufError::Delegations { .. }))
    };
    assert!(refused(|delegations| delegations["roles"][0]["name"] = json!("root")));
    assert!(refused(|delegations| delegations["roles"][0]["name"] = json!("targets")));
    assert!(refused(|delegations| delegations["roles"][0]["name"] = json!("tenant.t")), "twice");
    assert!(refused(|delegations| delegations["roles"][0]["path_hash_prefixes"] = json!(["00"])));
    assert!(refused(|delegations| {
        delegations["roles"][0].as_object_mut().unwrap().remove("paths");
    }));
    let bins = json!({ "keyids": [], "threshold": 1, "bit_length": 33, "name_prefix": "bin" });
    assert!(refused(|delegations| {
        delegations["succinct_roles"] = json!({ "keyids": [], "threshold": 1, "bit_length": 3, "name_prefix": "bin" });
    }));
    let mut repository = Repository::new();
    let mut appliance = Appliance::foreign(&repository);
    repository.doc("targets")["delegations"] = json!({ "keys": {}, "succinct_roles": bins });
    repository.publish_all();
    assert!(matches!(appliance.update(&mut repository), Err(TufError::Delegations { .. })));
}

#[test]
fn hostile_role_names_of_a_foreign_repository_are_quoted() {
    for (name, path) in [("../A", "1...%2FA.json"), ("?", "1.%3F.json"), ("/A", "1.%2FA.json")] {
        let (mut repository, mut client) = graph(&[("targets", name, &["*"], json!({ "f": file(b"A") }))]);
        assert_eq!(client.lookup("f"), Lookup::Wants);
        assert_eq!(
            answers(&mut client, &mut repository, "f"),
            format!("broken {name}"),
            "not served under the raw name"
        );
        assert_eq!(repository.requests, [path]);
    }
}
