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
use casemate_protocol::evidence::receipt::Transport;
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
pub(crate) fn gate(site: &mut Site) {
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

pub(crate) fn said(generation: u64, outcome: Outcome) -> Call {
    let reason = (outcome == Outcome::Failed).then(|| name("wrong-port"));
    let report = ConsumerReport { owner: "group.clinics".parse().unwrap(), generation, outcome, reason };
    Call::Report { consumer: name("synapse"), report }
}

fn stick(appliance: &Appliance, wait: bool) -> Call {
    Call::Import {
        source: ImportSource::Path(appliance.path("stick")),
        transport: Transport::Local,
        wait,
        dry_run: false,
    }
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

#[test]
fn a_trial_goes_on_after_a_kill_with_the_deadline_it_had() {
    let (appliance, _) = on_trial();
    // Every question starts the agent anew; one that was killed differs from one that stopped only in its journal's end.
    appliance.pass(300);
    assert_eq!(appliance.status().owners[0].deadline_in_s, Some(300));
    appliance.pass(299);
    assert_eq!(appliance.status().owners[0].state, OwnerState::Probation);
    appliance.pass(1);
    assert_eq!(appliance.status().owners[0].state, OwnerState::Committed);
    assert_eq!(appliance.current(HOMESERVER).unwrap(), MARCH);
    assert_eq!(receipt(&appliance), (2, Code::ConsumerSilent, clinics(Code::ConsumerSilent)));
}

#[test]
fn a_trial_starts_anew_after_a_reboot_and_ends_at_the_third() {
    let (appliance, mut site) = on_trial();
    for _ in 0..2 {
        appliance.pass(500);
        appliance.reboot();
        let status = appliance.status();
        assert_eq!((status.owners[0].state, status.owners[0].deadline_in_s), (OwnerState::Probation, Some(600)));
        assert_eq!(status.owners[0].awaited, [name("synapse")]);
    }
    appliance.reboot();
    assert_eq!(appliance.status().owners[0].state, OwnerState::Committed);
    assert_eq!(appliance.current(HOMESERVER).unwrap(), MARCH);
    let code = Code::ProbationInterrupted;
    assert_eq!(receipt(&appliance), (2, code, clinics(code)));

    // One that is confirmed after a reboot is as good as any.
    site.reissue("group.clinics", FILE, APRIL);
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Probation);
    appliance.reboot();
    appliance.ask(said(3, Outcome::Ready)).unwrap();
    assert_eq!(receipt(&appliance), (3, Code::Applied, clinics(Code::Applied)));
}

/// The next issue is switched to on Sundays between two and five. Samples are signed on a Sunday at noon.
fn on_sundays(site: &mut Site) {
    site.owner("group.clinics").apply = Apply { window: Some("Sun 02:00-05:00".into()), ..Apply::default() };
}

const DAY: u64 = 86_400;

#[test]
fn a_generation_waits_for_its_window_and_is_switched_to_when_it_opens() {
    let (appliance, mut site) = enrolled();
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    on_sundays(&mut site);
    site.reissue("group.clinics", FILE, APRIL);
    let bundle = site.issue().bundle().bytes();
    let report = appliance.import_one(&bundle);
    assert_eq!((report.code, report.bundles[0].receipt), (Code::Waiting, None), "{report:?}");
    assert_eq!(appliance.health().reasons, [Code::Waiting]);
    let owner = appliance.status().owners[0].clone();
    assert_eq!((owner.state, owner.opens_in_s), (OwnerState::Waiting, Some(6 * DAY + 14 * 3_600)));
    assert_eq!(owner.next.map(|next| next.number), Some(2));
    assert_eq!(appliance.import_one(&bundle).code, Code::Waiting);

    appliance.pass(6 * DAY + 14 * 3_600 - 1);
    assert_eq!(appliance.status().owners[0].state, OwnerState::Waiting);
    assert_eq!(appliance.current(HOMESERVER).unwrap(), MARCH);
    appliance.pass(1);
    assert_eq!(appliance.status().owners[0].state, OwnerState::Committed);
    assert_eq!(appliance.current(HOMESERVER).unwrap(), APRIL);
    assert_eq!(receipt(&appliance), (2, Code::Applied, clinics(Code::Applied)));
}

#[test]
fn in_an_open_window_nothing_is_waited_for() {
    let (appliance, mut site) = enrolled();
    on_sundays(&mut site);
    appliance.set_clock("2026-03-08T04:59:59Z".parse().unwrap());
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
}

#[test]
fn with_a_clock_nobody_believes_a_window_is_waited_for_by_uptime() {
    let (appliance, mut site) = enrolled();
    on_sundays(&mut site);
    appliance.set_clock("1970-01-04T03:00:00Z".parse().unwrap());
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Waiting);
    appliance.pass(7 * DAY - 1);
    assert_eq!(appliance.status().owners[0].state, OwnerState::Waiting);
    appliance.pass(1);
    assert_eq!(appliance.status().owners[0].state, OwnerState::Committed);
    assert_eq!(receipt(&appliance), (1, Code::Applied, clinics(Code::Applied)));
}

#[test]
fn a_newer_bundle_ends_a_trial_and_a_wait_and_each_bundle_has_its_receipt() {
    for gate_it in [gate, on_sundays] {
        let (appliance, mut site) = enrolled();
        assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
        gate_it(&mut site);
        site.reissue("group.clinics", FILE, APRIL);
        assert!(matches!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Probation | Code::Waiting));
        // The way back needs neither the consumer nor the window.
        site.owner("group.clinics").apply = Apply::default();
        site.reissue("group.clinics", FILE, b"may\n");
        let report = appliance.import_one(&site.issue().bundle().bytes());
        assert_eq!((report.code, report.bundles[0].receipt), (Code::Applied, Some(3)), "{report:?}");
        assert_eq!(appliance.current(HOMESERVER).unwrap(), b"may\n");
        let receipts = appliance.receipts();
        let told = |index: usize| {
            let receipt = &receipts[index].predicate;
            let owner = &receipt.owners[0];
            let number = |generation: &Option<casemate_protocol::evidence::receipt::GenerationRef>| {
                generation.as_ref().map(|generation| generation.number)
            };
            (receipts[index].subject[0].name.clone(), receipt.code, number(&owner.before), number(&owner.after))
        };
        assert_eq!(told(1), ("timestamp/2".into(), Code::Superseded, Some(1), Some(1)));
        assert_eq!(told(2), ("timestamp/3".into(), Code::Applied, Some(1), Some(3)));
        assert_eq!(receipts.len(), 3);
    }
}

/// Clinics, labs and the tenant `north` are served, clinics and the tenant ask their consumers.
fn three_owners() -> (Appliance, Site) {
    let (appliance, mut site) = (Appliance::new(crate::AGENT), Site::sample());
    appliance.enrol(&mut site, "lux-002");
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    gate(&mut site);
    let confirm = vec!["consumers".into()];
    site.owner("tenant.north").apply = Apply { confirm, ..Apply::default() };
    site.owner("tenant.north").edit = |manifest| {
        let consumer = Consumer { unit: None, on_change: Default::default(), ready: None };
        manifest.consumers = BTreeMap::from([(name("app"), consumer)]);
    };
    (appliance, site)
}

fn tenant_said(generation: u64, outcome: Outcome) -> Call {
    let report = ConsumerReport { owner: "tenant.north".parse().unwrap(), generation, outcome, reason: None };
    Call::Report { consumer: name("app"), report }
}

#[test]
fn a_tenant_that_fails_leaves_the_groups_new_generation_in_place() {
    let (appliance, mut site) = three_owners();
    site.reissue("group.clinics", FILE, APRIL);
    site.owner("tenant.north").version += 1;
    site.owner("tenant.north").files.insert("app/config.toml".into(), b"answer = 43\n".to_vec());
    let report = appliance.import_one(&site.issue().bundle().bytes());
    let codes: Vec<_> = report.bundles[0].owners.iter().map(|owner| (owner.id.to_string(), owner.code)).collect();
    let expected =
        [("group.labs", Code::AlreadyApplied), ("group.clinics", Code::Probation), ("tenant.north", Code::Probation)];
    assert_eq!(codes, expected.map(|(owner, code)| (owner.to_string(), code)));

    appliance.ask(said(2, Outcome::Ready)).unwrap();
    assert_eq!(appliance.receipts().len(), 1, "the tenant is still on trial");
    appliance.ask(tenant_said(2, Outcome::Failed)).unwrap();
    assert_eq!(appliance.current(HOMESERVER).unwrap(), APRIL);
    assert_eq!(appliance.current("tenants/north/app/config.toml").unwrap(), b"answer = 42\n");
    let (count, code, mut owners) = receipt(&appliance);
    owners.sort();
    let expected = [
        ("group.clinics", Code::Applied),
        ("group.labs", Code::AlreadyApplied),
        ("tenant.north", Code::ConsumerFailed),
    ];
    assert_eq!((count, code), (2, Code::ConsumerFailed));
    assert_eq!(owners, expected.map(|(owner, code)| (owner.to_string(), code)));
}

#[test]
fn what_a_newer_bundle_brings_unchanged_stays_on_trial() {
    let (appliance, mut site) = three_owners();
    site.reissue("group.clinics", FILE, APRIL);
    site.owner("tenant.north").version += 1;
    site.owner("tenant.north").files.insert("app/config.toml".into(), b"answer = 43\n".to_vec());
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Probation);
    appliance.pass(100);
    // The tenant repairs its own part; the group's is the same.
    site.version += 1;
    site.owner("tenant.north").version += 1;
    site.owner("tenant.north").files.insert("app/config.toml".into(), b"answer = 44\n".to_vec());
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Probation);
    let (count, code, mut owners) = receipt(&appliance);
    owners.sort();
    let superseded =
        [("group.clinics", Code::Superseded), ("group.labs", Code::AlreadyApplied), ("tenant.north", Code::Superseded)];
    assert_eq!((count, code), (2, Code::Superseded));
    assert_eq!(owners, superseded.map(|(owner, code)| (owner.to_string(), code)));

    let status = appliance.status();
    let clinics = status.owners.iter().find(|owner| owner.id.to_string() == "group.clinics").unwrap();
    assert_eq!((clinics.current.as_ref().unwrap().number, clinics.deadline_in_s), (2, Some(500)));
    appliance.ask(said(2, Outcome::Ready)).unwrap();
    appliance.ask(tenant_said(3, Outcome::Ready)).unwrap();
    let (count, code, owners) = receipt(&appliance);
    assert_eq!((count, code), (3, Code::Applied));
    assert!(owners.contains(&("group.clinics".into(), Code::Applied)), "{owners:?}");
    assert_eq!(owners.len(), 3);
}

#[test]
fn a_dry_run_says_what_would_change_and_keeps_nothing() {
    let (appliance, site) = in_march();
    let before = (appliance.status().journal, appliance.receipts().len(), objects(&appliance));
    appliance.carry(&[("april.casemate", &site.issue().bundle().bytes())]);
    let call = |dry_run| Call::Import {
        source: ImportSource::Path(appliance.path("stick")),
        transport: Transport::Local,
        wait: false,
        dry_run,
    };
    let report = bundle(appliance.ask(call(true)).unwrap());
    assert_eq!((report.code, report.receipt), (Code::Probation, None), "{report:?}");
    let [diff] = report.diff.as_slice() else { panic!("{report:?}") };
    let files: Vec<_> = diff.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!((files, diff.consumers.as_slice()), (vec![FILE], &[name("synapse")][..]));
    assert_eq!((appliance.status().journal, appliance.receipts().len(), objects(&appliance)), before);
    assert_eq!(std::fs::read_dir(appliance.path("state/staging")).unwrap().count(), 0);
    assert_eq!(appliance.current(HOMESERVER).unwrap(), MARCH);

    // The floor did not move either: what it said is what happens.
    assert_eq!(bundle(appliance.ask(call(false)).unwrap()).code, Code::Probation);
    let diff: casemate_agent::local_api::answer::DiffReport =
        serde_json::from_value(appliance.ask(Call::Diff).unwrap()).unwrap();
    assert_eq!((diff.owners[0].files.len(), diff.owners[0].consumers.as_slice()), (1, &[name("synapse")][..]));
    let refused = bundle(appliance.ask(call(true)).unwrap());
    assert_eq!(refused.code, Code::Probation);
}

fn objects(appliance: &Appliance) -> usize {
    std::fs::read_dir(appliance.path("state/objects")).unwrap().count()
}

#[test]
fn after_many_bundles_good_and_bad_in_turn_nothing_is_left_over() {
    // The sled copy and the journal's buffers grow to their size first. The bench does hundreds, and asks for more.
    let held = casemate_tests::endurance::endure(crate::AGENT, 24, &[12, 24]);
    let [early, late] = held.as_slice() else { panic!("{held:?}") };
    late.is_no_more_than(early, 4_096).unwrap();
}

#[test]
fn a_trial_that_ends_while_another_bundle_is_read_takes_nothing_away_that_bundle_counts_on() {
    use std::io::Write;

    let (appliance, mut site) = on_trial();
    // May brings April's file again, which the reader is told is here, and another one that takes long to come.
    let clinics = site.owner("group.clinics");
    clinics.apply = Apply::default();
    clinics.files.insert("zz/large".into(), vec![7; 3 << 20]);
    site.reissue("group.clinics", FILE, APRIL);
    let bytes = site.issue().bundle().bytes();
    let (end, begin) = (bytes[bytes.len() - 1024..].to_vec(), bytes[..bytes.len() - 1024].to_vec());
    let (reading, mut writing) = std::io::pipe().unwrap();
    let source = ImportSource::Stream(std::fs::File::from(std::os::fd::OwnedFd::from(reading)));
    let answer = appliance.host(async |agent: &Agent| {
        let feeding = std::thread::spawn(move || {
            writing.write_all(&begin).unwrap();
            writing
        });
        let ending = async {
            let staging = appliance.path("state/staging");
            while std::fs::read_dir(&staging).unwrap().next().is_none() {
                tokio::task::yield_now().await;
            }
            agent.call(said(2, Outcome::Failed)).await.unwrap();
            feeding.join().unwrap().write_all(&end).unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = agent.call(Call::Import { source, transport: Transport::Local, wait: true, dry_run: false }) => answer,
            () = ending => unreachable!(),
        }
    });
    let bundle = bundle(answer.unwrap().unwrap());
    assert_eq!(bundle.code, Code::Applied, "{bundle:?}");
    assert_eq!(appliance.current(HOMESERVER).unwrap(), APRIL);
    // Once nothing is read any more, what is not needed goes: three kinds of files and the metadata are left.
    let said = appliance.receipts().into_iter().map(|receipt| (receipt.predicate.code, receipt.predicate.transport));
    let (stick, local) = (Some(Transport::Stick), Some(Transport::Local));
    let expected = [(Code::Applied, stick), (Code::ConsumerFailed, stick), (Code::Applied, local)];
    assert_eq!(said.collect::<Vec<_>>(), expected);
}
