//! Events, reports, restarts, what is undone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use casemate_firmware::slot::{Files, Progress, SlotError, SlotName, SlotWriter, Slots};
use casemate_protocol::digest::Digest;
use serde_json::{Value, json};

use crate::bench::{Bench, RUNNING, run};
use crate::stand_in::{StandIn, tree};

const NEW: &[u8] = b"the firmware of March";
const PATH: &str = "firmware/fw.img";

fn assigned(bench: &Bench, state: &str, generation: u64) -> Value {
    bench.assign("fw.img", NEW);
    tree(state, generation, &bench.path("generation"), &[(PATH, NEW)])
}

/// A writer whose medium rots: what it reads back is never what it wrote.
#[derive(Debug)]
struct Rotten {
    files: Files,
    attempts: Arc<AtomicUsize>,
}

impl SlotWriter for Rotten {
    async fn look(&self) -> Result<Slots, SlotError> {
        self.files.look().await
    }

    async fn install(&self, artifact: &Path, _: &Progress) -> Result<SlotName, SlotError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let slot = artifact.parent().unwrap().with_file_name("b");
        let rot: Progress = Arc::new(move |_| std::fs::write(&slot, "rotten").unwrap());
        self.files.install(artifact, &rot).await
    }

    async fn boot_next(&self, slot: &SlotName) -> Result<(), SlotError> {
        self.files.boot_next(slot).await
    }
}

fn nothing_current() -> Value {
    json!({ "sequence": 1, "owners": [] })
}

fn ready(generation: u64) -> Value {
    json!({ "owner": "group.base", "generation": generation, "outcome": "ready" })
}

fn failed(generation: u64, reason: &str) -> Value {
    json!({ "owner": "group.base", "generation": generation, "outcome": "failed", "reason": reason })
}

#[test]
fn a_generation_in_probation_is_installed_marked_and_reported_ready() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), nothing_current());
        let _service = bench.start(bench.files(), "first");
        let mut events = agent.stream().await;
        agent.script().trees.push_back(assigned(&bench, "probation", 4));
        events.send(7, "receipt").await;
        events.send(8, "generation").await;
        assert_eq!(agent.report().await, ready(4));
        assert_eq!((bench.slot("a"), bench.slot("b"), bench.next()), (RUNNING.to_vec(), NEW.to_vec(), "b".into()));
        assert_eq!(bench.ledger().last.unwrap().failed, None);
        assert!(!bench.path("state/artifact").exists());
    });
}

#[test]
fn after_a_restart_nothing_is_installed_again() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        let service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        drop(service);
        // Whoever writes the slot again takes this away.
        std::fs::write(bench.path("b"), b"not touched").unwrap();
        let _service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        assert_eq!((bench.slot("b"), bench.next()), (b"not touched".to_vec(), "b".into()));
    });
}

#[test]
fn the_same_artifact_in_a_newer_generation_is_ready_at_once() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        let _service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        std::fs::write(bench.path("b"), b"not touched").unwrap();
        agent.script().trees = [assigned(&bench, "probation", 5)].into();
        agent.stream().await.send(9, "generation").await;
        assert_eq!(agent.report().await, ready(5));
        assert_eq!(bench.slot("b"), b"not touched");
    });
}

#[test]
fn a_committed_generation_that_was_missed_is_installed_and_nobody_is_told() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "committed", 4));
        let _service = bench.start(bench.files(), "first");
        let events = agent.stream().await;
        let _events = agent.settled(events).await;
        assert_eq!((bench.slot("b"), bench.next()), (NEW.to_vec(), "b".into()));
        assert!(agent.reports.try_recv().is_err());
    });
}

#[test]
fn an_undone_generation_gives_its_mark_back() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        let _service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        assert_eq!(bench.next(), "b");
        agent.script().trees = [nothing_current()].into();
        let mut events = agent.stream().await;
        events.send(9, "generation").await;
        let mut events = agent.settled(events).await;
        assert_eq!((bench.next(), bench.slot("a")), ("a".into(), RUNNING.to_vec()));
        // Offered again, it is there already.
        std::fs::write(bench.path("b"), b"not touched").unwrap();
        agent.script().trees = [assigned(&bench, "probation", 6)].into();
        events.send(10, "generation").await;
        assert_eq!(agent.report().await, ready(6));
        assert_eq!((bench.next(), bench.slot("b")), ("b".into(), b"not touched".to_vec()));
    });
}

#[test]
fn a_generation_undone_while_it_was_being_installed_is_not_called_ready() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        agent.script().trees.push_back(nothing_current());
        let _service = bench.start(bench.files(), "first");
        let events = agent.stream().await;
        let _events = agent.settled(events).await;
        assert_eq!((bench.next(), bench.slot("b")), ("a".into(), NEW.to_vec()));
        assert!(agent.reports.try_recv().is_err());
    });
}

#[test]
fn a_dropped_reader_resumes_after_the_last_event_and_reports_again() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        let _service = bench.start(bench.files(), "first");
        let mut events = agent.stream().await;
        assert_eq!(agent.report().await, ready(4));
        events.send(41, "consumer").await;
        events.send(42, "receipt").await;
        drop(events);
        let mut events = agent.stream().await;
        assert!(agent.script().asked.contains(&"GET /v1/events HTTP/1.1 42".into()), "{:?}", agent.script().asked);
        assert_eq!(agent.report().await, ready(4));
        agent.script().trees = [assigned(&bench, "probation", 5)].into();
        events.send(99, "reset").await;
        assert_eq!(agent.report().await, ready(5));
    });
}

#[test]
fn an_artifact_that_differs_is_reported_failed_and_no_slot_is_touched() {
    run(async {
        let bench = Bench::new();
        let first = assigned(&bench, "probation", 4);
        bench.assign("fw.img", b"the firmware of Marsh");
        let mut agent = StandIn::start(bench.folder.path(), first);
        let _service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, failed(4, "artifact-differs"));
        assert_eq!((bench.slot("b"), bench.next()), (Vec::new(), "a".into()));
    });
}

#[test]
fn a_path_that_cannot_be_opened_is_read_through_the_agent_and_resumed_where_it_broke_off() {
    run(async {
        let bench = Bench::new();
        let content: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
        let first = tree("probation", 4, &bench.path("no such folder"), &[(PATH, &content)]);
        let mut agent = StandIn::start(bench.folder.path(), first);
        agent.script().file.clone_from(&content);
        agent.script().cut = true;
        let _service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        assert_eq!(bench.slot("b"), content);
        let asked = agent.script().asked.clone();
        assert!(asked.iter().any(|line| line.contains("bytes=")), "{asked:?}");
    });
}

#[test]
fn nobody_guesses_which_of_two_files_is_meant() {
    run(async {
        let bench = Bench::new();
        let two = tree("probation", 4, &bench.path("generation"), &[(PATH, NEW), ("firmware/other.img", NEW)]);
        let mut agent = StandIn::start(bench.folder.path(), two);
        let _service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, failed(4, "several-artifacts"));
        agent.script().trees = [tree("probation", 5, &bench.path("generation"), &[])].into();
        agent.stream().await.send(2, "generation").await;
        assert_eq!(agent.report().await, failed(5, "no-artifact"));
        assert_eq!(bench.slot("b"), b"");
    });
}

#[test]
fn a_tenant_is_told_no_and_no_slot_is_touched_for_it() {
    run(async {
        let bench = Bench::new();
        let mut tenants = assigned(&bench, "probation", 4);
        tenants["owners"][0]["id"] = "tenant.rail".into();
        let mut agent = StandIn::start(bench.folder.path(), tenants.clone());
        let _service = bench.start(bench.files(), "first");
        let no = json!({ "owner": "tenant.rail", "generation": 4, "outcome": "failed", "reason": "owner-not-allowed" });
        assert_eq!(agent.report().await, no);
        let events = agent.stream().await;
        let mut events = agent.settled(events).await;
        assert_eq!(agent.report().await, no, "over the new connection");
        assert_eq!((bench.slot("b"), bench.next()), (Vec::new(), "a".into()));

        // What a tenant asks keeps no group from getting its firmware.
        let mut both = assigned(&bench, "probation", 5);
        both["owners"].as_array_mut().unwrap().push(tenants["owners"][0].clone());
        agent.script().trees = [both].into();
        events.send(2, "generation").await;
        assert_eq!(agent.report().await, ready(5));
        assert_eq!((bench.slot("b"), bench.next()), (NEW.to_vec(), "b".into()));
    });
}

#[test]
fn without_knowing_what_runs_nothing_is_written() {
    run(async {
        let bench = Bench::new();
        std::fs::write(bench.path("cmdline"), "quiet ro\n").unwrap();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        let _service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, failed(4, "boot-slot-unknown"));
        assert_eq!((bench.slot("a"), bench.slot("b")), (RUNNING.to_vec(), Vec::new()));
    });
}

#[test]
fn firmware_that_did_not_come_up_is_not_marked_again() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        let service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        drop(service);
        // The boot loader gave up on b and went back to a.
        std::fs::write(bench.path("pointer"), "a\n").unwrap();
        agent.script().trees = [assigned(&bench, "probation", 5)].into();
        let _service = bench.start(bench.files(), "second");
        assert_eq!(agent.report().await, failed(5, "fell-back"));
        assert_eq!(bench.next(), "a");
    });
}

#[test]
fn firmware_that_came_up_is_ready_and_the_other_slot_is_free() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        let service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        drop(service);
        bench.boot("b");
        let april = b"the firmware of April";
        bench.assign("april.img", april);
        let next = tree("probation", 5, &bench.path("generation"), &[("firmware/april.img", april)]);
        agent.script().trees = [next].into();
        let _service = bench.start(bench.files(), "second");
        assert_eq!(agent.report().await, ready(5));
        assert_eq!((bench.slot("a"), bench.slot("b"), bench.next()), (april.to_vec(), NEW.to_vec(), "a".into()));
        let held: Vec<_> = bench.ledger().slots.into_values().map(|filling| filling.object).collect();
        assert_eq!(held, [Digest::of(april), Digest::of(NEW)]);
    });
}

#[test]
fn a_report_nobody_waits_for_ends_nothing() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        agent.script().refuse = Some("not-awaited");
        let _service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        let mut events = agent.stream().await;
        agent.script().refuse = None;
        agent.script().trees = [assigned(&bench, "probation", 5)].into();
        events.send(3, "generation").await;
        assert_eq!(agent.report().await, ready(5));
    });
}

#[test]
fn a_slot_whose_writing_failed_is_not_taken_for_what_it_held_before() {
    run(async {
        let bench = Bench::new();
        let mut agent = StandIn::start(bench.folder.path(), assigned(&bench, "probation", 4));
        let service = bench.start(bench.files(), "first");
        assert_eq!(agent.report().await, ready(4));
        drop(service);

        let april = b"the firmware of April";
        bench.assign("april.img", april);
        let next = tree("probation", 5, &bench.path("generation"), &[("firmware/april.img", april)]);
        agent.script().trees = [next].into();
        let attempts = Arc::new(AtomicUsize::new(0));
        let service = bench.start(Rotten { files: bench.files(), attempts: Arc::clone(&attempts) }, "first");
        let _first = agent.stream().await;
        let mut events = agent.stream().await;
        assert_eq!(agent.report().await, failed(5, "read-back-differs"));
        assert_eq!((bench.next(), bench.slot("b")), ("a".into(), b"rotten".to_vec()));
        // What failed for good is not tried again with every event.
        events.send(9, "generation").await;
        events.send(10, "generation").await;
        let _events = agent.settled(events).await;
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        drop(service);

        agent.script().trees = [assigned(&bench, "probation", 6)].into();
        let _service = bench.start(bench.files(), "first");
        while agent.report().await != ready(6) {}
        assert_eq!((bench.slot("b"), bench.next()), (NEW.to_vec(), "b".into()));
    });
}
