use casemate_protocol::evidence::receipt::GenerationRef;

use super::*;
use crate::local_api::answer::TreeFile;

fn file(path: &str, content: &str, consumer: Option<&str>) -> TreeFile {
    let (path, object) = (path.parse().unwrap(), Digest::of(content.as_bytes()));
    TreeFile { path, length: 1, object, consumer: consumer.map(|name| name.parse().unwrap()) }
}

fn tree(files: Vec<TreeFile>) -> TreeReport {
    let id: Owner = "group.clinics".parse().unwrap();
    let consumer =
        |unit: Option<&str>| Consumer { unit: unit.map(Into::into), on_change: OnChange::Reload, ready: None };
    let owner = OwnerTree {
        path: format!("/s/current/{}", id.tree()).into(),
        id,
        state: OwnerState::Probation,
        generation: GenerationRef { number: 1, version: 1, manifest: Digest::of(b"") },
        files,
        consumers: BTreeMap::from([
            ("nginx".parse().unwrap(), consumer(Some("nginx.service"))),
            ("self".parse().unwrap(), consumer(None)),
        ]),
    };
    TreeReport { sequence: 1, owners: vec![owner] }
}

fn rule(links: &[(&str, &str)]) -> Rule {
    let links = links.iter().map(|(from, to)| Link { from: from.parse().unwrap(), to: to.into() }).collect();
    let (verbs, within) = (BTreeSet::from([Verb::Reload]), std::time::Duration::from_secs(1));
    Rule { unit: "nginx.service".into(), verbs, owners: None, validate: None, unit_within: within, links }
}

fn print(files: Vec<TreeFile>, links: &[(&str, &str)]) -> Digest {
    tasks(&tree(files))[0].fingerprint(&rule(links))
}

#[test]
fn only_consumers_with_a_unit_are_tasks() {
    let tasks = tasks(&tree(vec![]));
    assert_eq!(tasks.iter().map(|task| task.consumer.as_str()).collect::<Vec<_>>(), ["nginx"]);
    assert!(tasks[0].awaited);
}

#[test]
fn a_fingerprint_changes_with_what_the_unit_reads_and_with_nothing_else() {
    let links = [("nginx/site.conf", "/etc/nginx/conf.d/site.conf")];
    let named = |content| file("nginx/named.conf", content, Some("nginx"));
    let linked = |content| file("nginx/site.conf", content, None);
    let other = |content| file("other", content, Some("synapse"));
    let first = print(vec![named("a"), linked("a"), other("a")], &links);
    assert_eq!(first, print(vec![named("a"), linked("a"), other("b"), file("new", "c", None)], &links));
    for changed in [
        print(vec![named("b"), linked("a")], &links),
        print(vec![named("a"), linked("b")], &links),
        print(vec![named("a")], &links),
        print(vec![named("a"), linked("a")], &[]),
        print(vec![named("a"), linked("a")], &[("nginx/site.conf", "/etc/nginx/conf.d/other.conf")]),
    ] {
        assert_ne!(first, changed);
    }
}

#[test]
fn links_lead_from_the_owners_current_folder() {
    let tasks = tasks(&tree(vec![]));
    let rule = rule(&[("nginx/site.conf", "/etc/nginx/conf.d/site.conf")]);
    let permitted = tasks[0].permit(Some(&rule)).unwrap();
    assert_eq!(permitted.target(&rule.links[0]), Path::new("/s/current/groups/clinics/nginx/site.conf"));
    assert_eq!(permitted.root(), Path::new("/s/current"));
}
