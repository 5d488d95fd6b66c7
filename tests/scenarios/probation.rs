//! A generation on trial: who confirms it, who undoes it, and what the receipt says.

use std::collections::BTreeMap;

use casemate_agent::local_api::answer::{BundleReport, ConsumerReport, ImportReport, Outcome, OwnerState};
use casemate_agent::local_api::call::{Call, ImportSource};
use casemate_agent::runtime::Agent;
use casemate_protocol::bundle::manifest::{Apply, Consumer, Manifest};
use casemate_protocol::bundle::probe::Probe;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::evidence::health::HealthState;
use casemate_tests::appliance::Appliance;
use casemate_tests::repository::Site;

use crate::first_bundle::enrolled;

const FILE: &str = "synapse/homeserver.yaml";
const HOMESERVER: &str = "groups/clinics/synapse/homeserver.yaml";
const MARCH: &[u8] = b"server_name: clinics.example\n";
const APRIL: &[u8] = b"april\n";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Declares the consumer `synapse`, which follows the local API by itself.
fn declare(manifest: &mut Manifest) {
    let consumer = Consumer { unit: None, on_change: Default::default(), ready: None };
    manifest.consumers = BTreeMap::from([(name("synapse"), consumer)]);
    for file in &mut manifest.files {
        file.consumer = (file.path.as_str() == FILE).then(|| name("synapse"));
    }
}

/// The next issue asks the consumer to confirm it.
fn gate(site: &mut Site) {
    let clinics = site.owner("group.clinics");
    clinics.apply = Apply { confirm: vec!["consumers".into()], deadline: Some("10m".into()), ..Apply::default() };
    clinics.edit = declare;
}

/// The next issue has to satisfy these probes for ten seconds.
fn probe(site: &mut Site, probes: Vec<Probe>) {
    let hold = Some("10s".into());
    site.owner("group.clinics").apply = Apply { probes, hold, deadline: Some("2m".into()), ..Apply::default() };
}

/// March is current; April is ready to be issued and asks the consumer.
fn in_march() -> (Appliance, Site) {
    let (appliance, mut site) = enrolled();
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    gate(&mut site);
    site.reissue("group.clinics", FILE, APRIL);
    (appliance, site)
}

/// April is on trial.
fn on_trial() -> (Appliance, Site) {
    let (appliance, site) = in_march();
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!((report.code, report.bundles[0].receipt), (Code::Probation, None), "{report:?}");
    assert_eq!(appliance.current(HOMESERVER).unwrap(), APRIL);
    (appliance, site)
}

fn said(generation: u64, outcome: Outcome) -> Call {
    let reason = (outcome == Outcome::Failed).then(|| name("wrong-port"));
    let report = ConsumerReport { owner: "group.clinics".parse().unwrap(), generation, outcome, reason };
    Call::Report { consumer: name("synapse"), report }
}

fn stick(appliance: &Appliance, wait: bool) -> Call {
    Call::Import { source: ImportSource::Path(appliance.path("stick")), wait, dry_run: false }
}

fn bundle(answer: serde_json::Value) -> BundleReport {
    let report: ImportReport = serde_json::from_value(answer).unwrap();
    report.bundles[0].clone()
}

/// The newest receipt: how many there are, its code, and each owner's code.
fn receipt(appliance: &Appliance) -> (usize, Code, Vec<(String, Code)>) {
    let receipts = appliance.receipts();
    let newest = &receipts.last().unwrap().predicate;
    let owners = newest.owners.iter().map(|owner| (owner.id.to_string(), owner.code)).collect();
    (receipts.len(), newest.code, owners)
}

fn clinics(code: Code) -> Vec<(String, Code)> {
    vec![("group.clinics".into(), code)]
}

#[test]
fn a_generation_whose_consumer_is_ready_is_committed_with_one_receipt() {
    let (appliance, _) = on_trial();
    let status = appliance.status();
    let owner = &status.owners[0];
    assert_eq!((owner.state, owner.awaited.as_slice()), (OwnerState::Probation, &[name("synapse")][..]));
    assert_eq!(owner.deadline_in_s, Some(600));
    let health = appliance.health();
    assert_eq!((health.state, health.reasons), (HealthState::Ok, vec![Code::Probation]));

    let answer = appliance.ask(said(2, Outcome::Ready)).unwrap();
    assert_eq!(answer["state"], "committed");
    assert_eq!(receipt(&appliance), (2, Code::Applied, clinics(Code::Applied)));
    // The answer may have been lost: the same report again is no error, and changes nothing.
    assert_eq!(appliance.ask(said(2, Outcome::Ready)).unwrap()["state"], "committed");
    assert_eq!(appliance.receipts().len(), 2);
    assert_eq!(appliance.health().reasons, []);
}

#[test]
fn a_silent_consumer_has_its_generation_undone_at_the_deadline_and_the_receipt_says_so() {
    let (appliance, site) = on_trial();
    let again = site.issue().bundle().bytes();
    let looked = appliance.host(async |agent: &Agent| {
        appliance.pass(599);
        agent.look_now().await;
        let before = appliance.current(HOMESERVER).unwrap();
        appliance.pass(1);
        agent.look_now().await;
        (before, appliance.current(HOMESERVER).unwrap())
    });
    assert_eq!(looked.unwrap(), (APRIL.to_vec(), MARCH.to_vec()));
    assert_eq!(receipt(&appliance), (2, Code::ConsumerSilent, clinics(Code::ConsumerSilent)));
    let failure = appliance.status().owners[0].failure.clone().unwrap();
    assert_eq!((failure.generation, failure.code, failure.consumer), (2, Code::ConsumerSilent, Some(name("synapse"))));
    let health = appliance.health();
    assert_eq!((health.state, health.reasons), (HealthState::Degraded, vec![Code::ConsumerSilent]));

    // The same content is not tried again, and no receipt is written for saying so.
    for _ in 0..3 {
        let report = appliance.import_one(&again);
        assert_eq!((report.code, report.bundles[0].receipt), (Code::FailedBefore, Some(2)), "{report:?}");
    }
    assert_eq!((appliance.receipts().len(), appliance.current(HOMESERVER).unwrap()), (2, MARCH.to_vec()));
}

#[test]
fn a_consumer_that_fails_has_its_generation_undone_at_once() {
    let (appliance, mut site) = on_trial();
    let again = site.issue().bundle().bytes();
    assert_eq!(appliance.ask(said(2, Outcome::Failed)).unwrap()["state"], "committed");
    assert_eq!(appliance.current(HOMESERVER).unwrap(), MARCH);
    assert_eq!(receipt(&appliance), (2, Code::ConsumerFailed, clinics(Code::ConsumerFailed)));
    let failure = appliance.status().owners[0].failure.clone().unwrap();
    assert_eq!((failure.consumer, failure.reason), (Some(name("synapse")), Some(name("wrong-port"))));
    // Once more, in case the answer was lost; another word on it is refused.
    assert_eq!(appliance.ask(said(2, Outcome::Failed)).unwrap()["state"], "committed");
    assert_eq!(appliance.ask(said(2, Outcome::Ready)).unwrap_err().code, Code::NotAwaited);

    assert_eq!(appliance.import_one(&again).code, Code::FailedBefore);
    // Signed anew, the very same content is tried again.
    site.reissue("group.clinics", FILE, APRIL);
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Probation);
    assert_eq!(appliance.ask(said(3, Outcome::Ready)).unwrap()["state"], "committed");
    assert_eq!(receipt(&appliance), (3, Code::Applied, clinics(Code::Applied)));
    assert_eq!(appliance.health().state, HealthState::Ok);
}

#[test]
fn content_that_failed_is_left_out_of_a_newer_bundle_that_brings_it_unchanged() {
    let (appliance, mut site) = on_trial();
    appliance.ask(said(2, Outcome::Failed)).unwrap();
    site.version += 1;
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(report.code, Code::FailedBefore, "{report:?}");
    assert_eq!(receipt(&appliance), (3, Code::FailedBefore, clinics(Code::FailedBefore)));
}

#[test]
fn reports_nobody_waits_for_are_refused_and_change_nothing() {
    let (appliance, _) = on_trial();
    let journal = appliance.status().journal;
    let wrong = |generation, consumer: &str, owner: &str| {
        let report =
            ConsumerReport { owner: owner.parse().unwrap(), generation, outcome: Outcome::Failed, reason: None };
        appliance.ask(Call::Report { consumer: name(consumer), report }).unwrap_err().code
    };
    assert_eq!(wrong(1, "synapse", "group.clinics"), Code::NotAwaited);
    assert_eq!(wrong(3, "synapse", "group.clinics"), Code::NotAwaited);
    assert_eq!(wrong(2, "nginx", "group.clinics"), Code::NotAwaited);
    assert_eq!(wrong(2, "synapse", "group.labs"), Code::NotAwaited);
    assert_eq!((appliance.status().journal, appliance.current(HOMESERVER).unwrap()), (journal, APRIL.to_vec()));
}

#[test]
fn the_same_bundle_during_its_trial_is_told_where_it_stands() {
    let (appliance, site) = on_trial();
    let journal = appliance.status().journal;
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!((report.code, report.bundles[0].receipt), (Code::Probation, None), "{report:?}");
    assert_eq!((appliance.status().journal, appliance.receipts().len()), (journal, 1));
}

#[test]
fn an_import_that_waits_is_answered_with_the_outcome() {
    for (outcome, code) in [(Outcome::Ready, Code::Applied), (Outcome::Failed, Code::ConsumerFailed)] {
        let (appliance, site) = in_march();
        appliance.carry(&[("april.casemate", &site.issue().bundle().bytes())]);
        let answer = appliance.host(async |agent: &Agent| {
            let mut news = agent.hub().follow(None);
            let consumer = async {
                while !format!("{:?}", news.next().await).contains("Probation") {}
                agent.call(said(2, outcome)).await.unwrap();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                answer = agent.call(stick(&appliance, true)) => answer,
                () = consumer => unreachable!(),
            }
        });
        let bundle = bundle(answer.unwrap().unwrap());
        assert_eq!((bundle.code, bundle.receipt, bundle.owners[0].code), (code, Some(2), code), "{bundle:?}");
        assert!(bundle.file.ends_with("in/april.casemate"));
    }
}

#[test]
fn probes_commit_once_they_have_held_and_a_break_starts_anew() {
    let (appliance, mut site) = enrolled();
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let unit = appliance.path("cgroups/system.slice/synapse.service");
    std::fs::create_dir_all(&unit).unwrap();
    let populated = |number: u8| std::fs::write(unit.join("cgroup.events"), format!("populated {number}\n")).unwrap();
    populated(1);
    probe(&mut site, vec![Probe::Tcp(address.to_string()), Probe::Unit("synapse.service".into())]);
    site.reissue("group.clinics", FILE, APRIL);
    appliance.carry(&[("april.casemate", &site.issue().bundle().bytes())]);
    let states = appliance.host(async |agent: &Agent| {
        let mut states = vec![bundle(agent.call(stick(&appliance, false)).await.unwrap()).code.to_string()];
        for (seconds, running) in [(0, 1), (9, 1), (1, 0), (30, 0), (1, 1), (9, 1), (1, 1)] {
            appliance.pass(seconds);
            populated(running);
            agent.look_now().await;
            let status = agent.call(Call::Status).await.unwrap();
            states.push(status["owners"][0]["state"].as_str().unwrap().into());
        }
        states
    });
    let mut expected = vec!["probation"; 7];
    expected.push("committed");
    assert_eq!(states.unwrap(), expected);
    assert_eq!(receipt(&appliance), (2, Code::Applied, clinics(Code::Applied)));
}

#[test]
fn a_probe_that_never_holds_undoes_the_generation_at_the_deadline() {
    let (appliance, mut site) = enrolled();
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    // Somebody listened here a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    probe(&mut site, vec![Probe::Http(format!("http://{address}/health"))]);
    site.reissue("group.clinics", FILE, APRIL);
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Probation);
    appliance.pass(119);
    assert_eq!(appliance.status().owners[0].state, OwnerState::Probation);
    appliance.pass(1);
    assert_eq!(appliance.status().owners[0].state, OwnerState::Committed);
    assert_eq!(appliance.current(HOMESERVER).unwrap(), MARCH);
    assert_eq!(receipt(&appliance), (2, Code::ProbeFailed, clinics(Code::ProbeFailed)));
}
