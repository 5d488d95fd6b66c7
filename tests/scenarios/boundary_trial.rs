//! The boundary on an appliance: in force, on trial, given up; what is handed over, and what health and receipts say.

use std::net::SocketAddr;

use casemate_agent::boundary::force::Force;
use casemate_agent::local_api::answer::{BoundaryImport, BoundaryReport, BundleReport, ImportReport, Narrower};
use casemate_agent::local_api::call::{Call, ImportSource};
use casemate_agent::runtime::Agent;
use casemate_protocol::boundary::offer::{self, Anchor};
use casemate_protocol::boundary::{Edit, Narrowing, Policy, in_force};
use casemate_protocol::code::Code;
use casemate_protocol::evidence::health::{BoundaryHealth, Enforcement, HealthState};
use casemate_protocol::evidence::receipt::{BoundaryOutcome, Transport};
use casemate_protocol::tuf::floors::Floors;
use casemate_tests::appliance::Appliance;
use casemate_tests::namespace::{in_namespace, run};
use casemate_tests::repository::{Site, clock, flow, peer};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::AGENT;
use crate::daemon::{Daemon, failed};

/// Where a required peer of these tests is.
const PEER: &str = "10.20.0.7:8443";

/// An enrolled appliance of a fenced site.
fn fenced() -> (Appliance, Site) {
    let (appliance, mut site) = (Appliance::new(AGENT), Site::fenced());
    appliance.enrol(&mut site, "lux-001");
    (appliance, site)
}

/// The same with boundary `lan` in force.
fn settled() -> (Appliance, Site) {
    let (appliance, site) = fenced();
    assert_eq!(import(&appliance, &site), Code::Applied);
    (appliance, site)
}

/// The same with a wider one on trial: it names another peer, which is required.
pub(crate) fn on_trial() -> (Appliance, Site) {
    let (appliance, mut site) = settled();
    widen(&mut site);
    assert_eq!(import(&appliance, &site), Code::Probation);
    (appliance, site)
}

fn widen(site: &mut Site) {
    let address: SocketAddr = PEER.parse().unwrap();
    let mut other = peer("other", &address.ip().to_string(), address.port());
    other.required = true;
    site.refence(|policy| policy.peers.push(other));
}

fn import(appliance: &Appliance, site: &Site) -> Code {
    appliance.import_one(&site.issue().bundle().bytes()).code
}

fn boundary(appliance: &Appliance) -> BoundaryReport {
    serde_json::from_value(appliance.ask(Call::Boundary { drops: true }).unwrap()).unwrap()
}

fn health(appliance: &Appliance) -> BoundaryHealth {
    appliance.health().boundary.unwrap()
}

/// What the receipts say of the boundary, by number.
fn told(appliance: &Appliance) -> Vec<Option<BoundaryOutcome>> {
    appliance.receipts().iter().map(|receipt| receipt.predicate.boundary).collect()
}

fn codes(appliance: &Appliance) -> Vec<Option<Code>> {
    told(appliance).into_iter().map(|outcome| outcome.map(|outcome| outcome.code)).collect()
}

/// What the enforcer makes of what was handed over.
fn enforced(appliance: &Appliance, site: &Site) -> Policy {
    let read = |name: &str| std::fs::read(appliance.path("state/boundary").join(name)).unwrap();
    let id = "lux-001".parse().unwrap();
    let anchor = Anchor::new(id, site.jurisdiction, appliance.keys().fingerprint(), &site.root(1));
    let accepted = offer::judge(&read("offer"), &anchor, &Floors::default(), clock()).unwrap();
    let narrowing = Narrowing::parse(&read("narrowing.json")).unwrap();
    in_force(&accepted.policy, Some(&narrowing.allow), None)
}

/// Runs `test`, if root does, in a network of its own: loopback has the peers' addresses, and nothing else is there.
pub(crate) fn in_own_network(test: impl FnOnce() + Send) {
    in_namespace(|| {
        for arguments in [&["link", "set", "lo", "up"][..], &["addr", "add", "10.20.0.0/16", "dev", "lo"]] {
            let _said = run("ip", arguments);
        }
        test();
    });
}

#[test]
fn the_first_boundary_is_in_force_at_once_and_the_enforcer_finds_the_same() {
    let (appliance, site) = fenced();
    assert!(boundary(&appliance).allow.is_empty() && !appliance.path("state/boundary").exists());
    assert_eq!(import(&appliance, &site), Code::Applied);

    let report = boundary(&appliance);
    let source = report.signed.clone().unwrap();
    assert_eq!((source.name.as_str(), source.version, Some(source.envelope)), ("lan", 1, site.envelope));
    assert_eq!(report.allow.peers[0].id.as_str(), "control");
    assert_eq!((report.policy, report.narrowed_by.len(), report.trial.is_none()), (report.allow.digest(), 0, true));
    let change = report.last_change.unwrap();
    assert_eq!((change.code, change.before, change.after), (Code::Applied, Policy::default().digest(), report.policy));
    assert!(change.changes.iter().all(|entry| entry.edit == Edit::Added) && change.changes.len() == 2);

    assert_eq!(enforced(&appliance, &site).digest(), report.policy);
    assert_eq!(Force::read(&appliance.path("state/boundary")).policy, report.allow);
    let outcome = BoundaryOutcome { code: Code::Applied, before: Some(change.before), after: Some(report.policy) };
    assert_eq!(told(&appliance), [Some(outcome)]);
    let health = health(&appliance);
    assert_eq!((health.policy, health.version, health.trial), (report.policy, Some(1), false));
    assert_eq!(health.enforcement, Enforcement::ProcessOnly);
}

/// What the import of `site`'s bundle says, or would say.
fn reported(appliance: &Appliance, site: &Site, dry_run: bool) -> BundleReport {
    appliance.carry(&[("bundle.casemate", &site.issue().bundle().bytes())]);
    let source = ImportSource::Path(appliance.path("stick"));
    let answer = appliance.ask(Call::Import { source, transport: Transport::Local, wait: false, dry_run }).unwrap();
    let mut report: ImportReport = serde_json::from_value(answer).unwrap();
    report.bundles.remove(0)
}

#[test]
fn an_import_says_what_becomes_of_the_boundary_and_a_dry_run_foresees_it() {
    in_own_network(|| {
        let (appliance, mut site) = fenced();
        for expected in [Code::Applied, Code::Probation] {
            let before = boundary(&appliance);
            let (foreseen, changes) = {
                let report = reported(&appliance, &site, true);
                assert_eq!(report.code, expected);
                let seen = report.boundary.unwrap();
                (BoundaryImport { changes: Vec::new(), ..seen.clone() }, seen.changes)
            };
            assert_eq!(boundary(&appliance), before, "a dry run changes nothing");
            assert_eq!(reported(&appliance, &site, false).boundary.as_ref(), Some(&foreseen));
            let after = boundary(&appliance);
            assert_eq!(
                (foreseen.code, foreseen.before, foreseen.after),
                (expected, Some(before.policy), Some(after.policy))
            );
            assert_eq!(changes, after.last_change.unwrap().changes);
            assert_eq!(appliance.status().boundary.unwrap().trial, expected == Code::Probation);
            if expected == Code::Applied {
                widen(&mut site);
            }
        }
        site.refence(|policy| policy.flows.push(flow("192.0.2.0/24", "1-65535", None)));
        let refused = reported(&appliance, &site, true);
        assert_eq!((refused.code, refused.boundary.unwrap().code), (Code::BoundaryWider, Code::BoundaryWider));
    });
}

#[test]
fn what_was_handed_over_and_is_gone_or_altered_is_written_again_at_the_next_start() {
    let (appliance, site) = settled();
    let folder = appliance.path("state/boundary");
    std::fs::remove_file(folder.join("offer")).unwrap();
    std::fs::write(folder.join("narrowing.json"), "{}").unwrap();
    std::fs::write(folder.join("force.json"), "{}").unwrap();
    let report = boundary(&appliance);
    assert_eq!(enforced(&appliance, &site).digest(), report.policy);
    assert_eq!(Force::read(&folder).policy, report.allow);
}

#[test]
fn less_is_in_force_at_once_even_if_a_peer_is_required() {
    let (appliance, mut site) = settled();
    site.refence(|policy| {
        policy.peers[0].required = true;
        policy.flows.clear();
    });
    assert_eq!(import(&appliance, &site), Code::Applied);
    let report = boundary(&appliance);
    assert!(report.allow.flows.is_empty() && report.trial.is_none());
    assert_eq!(enforced(&appliance, &site).digest(), report.policy);
    assert_eq!(codes(&appliance), [Some(Code::Applied); 2]);
}

#[test]
fn a_boundary_that_is_taken_away_allows_nothing() {
    let (appliance, mut site) = settled();
    site.version += 1;
    site.assignments.values_mut().for_each(|assignment| assignment.boundary = None);
    assert_eq!(import(&appliance, &site), Code::Applied);
    let report = boundary(&appliance);
    assert!(report.allow.is_empty() && report.signed.is_none());
    assert!(enforced(&appliance, &site).is_empty());
}

#[test]
fn a_boundary_beyond_the_envelope_is_refused_and_the_one_before_stays_with_its_owners_served() {
    let (appliance, mut site) = settled();
    let before = boundary(&appliance);
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"server_name: april.example\n");
    site.boundaries().version += 1;
    site.lan().flows.push(flow("192.0.2.0/24", "443", None));
    assert_eq!(import(&appliance, &site), Code::BoundaryWider);
    assert_eq!(boundary(&appliance).policy, before.policy);
    let receipt = appliance.receipts()[1].predicate.clone();
    assert_eq!((receipt.code, receipt.owners[0].code), (Code::BoundaryWider, Code::Applied));
    let stays = BoundaryOutcome { code: Code::BoundaryWider, before: Some(before.policy), after: Some(before.policy) };
    assert_eq!(receipt.boundary, Some(stays));
    assert_eq!(appliance.health().reasons, [Code::BoundaryWider]);
}

#[test]
fn a_wider_boundary_stays_once_its_required_peer_is_reached() {
    in_own_network(|| {
        let (appliance, site) = settled();
        let mut site = site;
        widen(&mut site);
        let bundle = site.issue().bundle().bytes();
        assert_eq!(appliance.import_one(&bundle).code, Code::Probation);
        let report = boundary(&appliance);
        let trial = report.trial.unwrap();
        assert_eq!((trial.awaited[0].as_str(), trial.deadline_in_s), ("other", 600));
        // In force while it is tried: the enforcer has to let the attempt through.
        assert_eq!(enforced(&appliance, &site).digest(), report.policy);
        assert!(health(&appliance).trial && codes(&appliance).len() == 1);
        assert_eq!(appliance.health().reasons, [Code::Probation]);

        let reached = appliance.host(async |agent: &Agent| {
            agent.look_now().await;
            let early = agent.call(Call::Boundary { drops: false }).await.unwrap();
            let listener = std::net::TcpListener::bind(PEER).unwrap();
            agent.look_now().await;
            drop(listener);
            (early["trial"].is_object(), agent.call(Call::Boundary { drops: false }).await.unwrap())
        });
        let (still, after) = reached.unwrap();
        assert!(still && after.get("trial").is_none(), "{after}");
        assert_eq!(codes(&appliance), [Some(Code::Applied); 2]);
        assert_eq!(boundary(&appliance).policy, report.policy);
        assert_eq!(appliance.import_one(&bundle).code, Code::AlreadyApplied);
    });
}

#[test]
fn a_wider_boundary_whose_peer_is_not_reached_in_time_falls_back_to_what_both_allow() {
    in_own_network(|| {
        let (appliance, mut site) = settled();
        let before = boundary(&appliance);
        widen(&mut site);
        // Something goes as well: that never comes back.
        site.lan().flows.clear();
        let bundle = site.issue().bundle().bytes();
        assert_eq!(appliance.import_one(&bundle).code, Code::Probation);
        let on_trial = appliance.host(async |agent: &Agent| {
            appliance.pass(599);
            agent.look_now().await;
            let early = agent.call(Call::Boundary { drops: false }).await.unwrap()["trial"].is_object();
            appliance.pass(1);
            agent.look_now().await;
            early
        });
        assert!(on_trial.unwrap());
        let report = boundary(&appliance);
        let names: Vec<_> = report.allow.peers.iter().map(|peer| peer.id.as_str()).collect();
        assert_eq!((names, report.allow.flows.len()), (vec!["control"], 0));
        assert_eq!((report.narrowed_by, report.trial), (vec![Narrower::Fallback], None));
        assert_eq!(enforced(&appliance, &site).digest(), report.policy);
        let outcome =
            BoundaryOutcome { code: Code::BoundaryUnreached, before: Some(before.policy), after: Some(report.policy) };
        assert_eq!(told(&appliance)[1], Some(outcome));
        let health = appliance.health();
        assert_eq!((health.state, health.reasons), (HealthState::Degraded, vec![Code::BoundaryUnreached]));
        let change = report.last_change.unwrap();
        assert!(change.changes.iter().all(|entry| entry.edit == Edit::Removed && entry.item.contains("other")));
        // Importing goes on working.
        site.reissue("group.clinics", "synapse/homeserver.yaml", b"server_name: april.example\n");
        assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::FailedBefore);
        assert_eq!(appliance.receipts()[2].predicate.owners[0].code, Code::Applied);
    });
}

#[test]
fn a_boundary_that_outlives_three_boots_on_trial_is_given_up() {
    in_own_network(|| {
        let (appliance, _) = on_trial();
        for boots_left in [true, true, false] {
            appliance.reboot();
            assert_eq!(boundary(&appliance).trial.is_some(), boots_left);
        }
        assert_eq!(codes(&appliance), [Some(Code::Applied), Some(Code::BoundaryUnreached)]);
    });
}

#[test]
fn a_newer_boundary_ends_the_trial_of_the_older() {
    in_own_network(|| {
        let (appliance, mut site) = on_trial();
        site.refence(|policy| policy.peers.truncate(1));
        assert_eq!(import(&appliance, &site), Code::Applied);
        assert_eq!(codes(&appliance)[1], Some(Code::Superseded));
        let report = boundary(&appliance);
        assert!(report.trial.is_none() && report.allow.peers.len() == 1);
        assert_eq!(enforced(&appliance, &site).digest(), report.policy);
    });
}

/// An appliance whose kernel is to enforce, and what the enforcer and the watcher say: nothing yet.
fn guarded() -> (Appliance, Site) {
    let (appliance, site) = settled();
    let text = std::fs::read_to_string(appliance.path("agent.toml")).unwrap();
    let text = text.replace("process-only", "host");
    let places = ["run", "watch", "site"].map(|name| format!("{name} = {:?}\n", appliance.path("boundary").join(name)));
    std::fs::write(appliance.path("agent.toml"), format!("{text}[boundary]\n{}", places.concat())).unwrap();
    for folder in ["run", "watch"] {
        std::fs::create_dir_all(appliance.path("boundary").join(folder)).unwrap();
    }
    (appliance, site)
}

fn say(appliance: &Appliance, file: &str, document: &serde_json::Value) {
    std::fs::write(appliance.path("boundary").join(file), document.to_string()).unwrap();
}

#[test]
fn health_says_what_the_kernel_enforces() {
    if !nix::unistd::geteuid().is_root() {
        // What the enforcer says counts only if it is root's.
        return;
    }
    let (appliance, _) = guarded();
    let policy = boundary(&appliance).policy;
    let status = |policy, mode: &str| json!({ "format": 1, "policy": policy, "mode": mode, "ruleset": policy });
    let stands = || (health(&appliance).enforcement, appliance.health().reasons);
    assert_eq!(stands(), (Enforcement::None, vec![Code::BoundaryNotEnforced]));
    say(&appliance, "run/status.json", &status(policy, "enforce"));
    assert_eq!(stands(), (Enforcement::Host, Vec::new()));
    assert!(health(&appliance).layers.host);
    say(&appliance, "run/status.json", &status(policy, "observe"));
    assert_eq!(stands(), (Enforcement::Observe, vec![Code::BoundaryObserved]));
    say(&appliance, "run/status.json", &status(Policy::default().digest(), "enforce"));
    assert_eq!(stands(), (Enforcement::None, vec![Code::BoundaryDiffers]));
    say(&appliance, "run/status.json", &json!({ "format": 1 }));
    assert_eq!(stands(), (Enforcement::None, vec![Code::BoundaryNotEnforced]));
}

#[test]
fn attempts_are_told_by_destination_here_and_as_counts_and_known_units_elsewhere() {
    let (appliance, _) = guarded();
    let row = |unit: &str| {
        json!({
            "uid": 991, "unit": unit, "direction": "out", "protocol": "udp", "address": "192.0.2.9", "port": 53,
            "count": 2, "first_seen": "2026-03-01T12:00:00Z", "last_seen": "2026-03-01T12:00:01Z",
        })
    };
    let drops = json!({ "format": 1, "total": 4, "lost": 0, "rows": [row("chatty.service"), row("b.service")] });
    say(&appliance, "watch/drops.json", &drops);
    assert_eq!(boundary(&appliance).drops.unwrap().rows.len(), 2);
    assert!(appliance.ask(Call::Boundary { drops: false }).unwrap().get("drops").is_none());
    let report = appliance.health();
    assert!(report.reasons.contains(&Code::BoundaryAttempts));
    let text = serde_json::to_string(&report).unwrap();
    assert!(!text.contains("192.0.2.9") && !text.contains("chatty"), "{text}");
    assert_eq!(report.boundary.unwrap().attempts, 4);
}

#[test]
fn the_sites_own_narrowing_takes_away_and_the_report_says_so() {
    if !nix::unistd::geteuid().is_root() {
        // It counts only if it is root's.
        return;
    }
    let (appliance, _) = guarded();
    let allow = Policy { flows: Vec::new(), ..boundary(&appliance).allow };
    say(&appliance, "site", &json!({ "format": 1, "allow": allow }));
    let report = boundary(&appliance);
    assert_eq!((report.allow, report.narrowed_by), (allow, vec![Narrower::Site]));
    // One that cannot be read takes away everything.
    say(&appliance, "site", &json!({ "format": 1, "allow": { "peers": 7 } }));
    assert!(boundary(&appliance).allow.is_empty());
}

#[test]
fn the_daemon_does_not_start_where_the_kernel_should_enforce_and_nothing_says_that_it_does() {
    let (appliance, _) = guarded();
    failed(&appliance.command(&["run"]).output().unwrap(), 3, Code::BoundaryNotEnforced);
}

#[test]
fn the_daemon_ends_for_a_new_process_once_it_has_answered_and_the_next_one_is_confined_to_the_new_policy() {
    let (appliance, site) = fenced();
    let mut daemon = Daemon::start(&appliance);
    std::fs::write(appliance.path("first.casemate"), site.issue().bundle().bytes()).unwrap();
    let import =
        ["import", "--no-wait", "--json", appliance.path("first.casemate").to_str().unwrap()].map(str::to_owned);
    let said = appliance.command(&import.each_ref().map(String::as_str)).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!(report["code"], "applied", "{report}");
    assert_eq!(daemon.wait().code(), Some(75));

    daemon = Daemon::start(&appliance);
    let said = appliance.command(&["boundary", "show", "--json"]).output().unwrap();
    let report: BoundaryReport = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!(report.allow.peers[0].id.as_str(), "control");
    assert!(report.layers.door && report.layers.seccomp && report.layers.landlock);
    let said = appliance.command(&["boundary", "show"]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("peer control https 10.20.0.5:8443") && text.contains("signed      lan version 1"), "{text}");
    assert!(daemon.stop(Signal::SIGTERM).success());
}
