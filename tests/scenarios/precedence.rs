//! Who waits for whom: people before the network, a restart, a full disk.

use std::fs::File;
use std::io::{ErrorKind, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use casemate_agent::boundary::confined::Confined;
use casemate_agent::boundary::force::Force;
use casemate_agent::config::Config;
use casemate_agent::local_api::answer::ImportReport;
use casemate_agent::local_api::call::{Answer, Call, ImportSource, Request};
use casemate_agent::runtime::{Agent, Ended};
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;
use casemate_tests::appliance::{Appliance, files_below};
use casemate_tests::repository::Site;
use tokio::sync::oneshot;

use crate::AGENT;
use crate::boundary_trial::{in_own_network, on_trial};
use crate::first_bundle::enrolled;

const LARGE: usize = 3 << 20;

/// An appliance with a stick, and a newer bundle with something large in it that comes as a stream, but for its end.
struct Crossing {
    appliance: Appliance,
    newer: Vec<u8>,
}

impl Crossing {
    fn new() -> Self {
        let (appliance, mut site) = enrolled();
        appliance.carry(&[("bundle.casemate", &site.issue().bundle().bytes())]);
        site.owner("group.clinics").files.insert("zz/large".into(), vec![7; LARGE]);
        site.reissue("group.clinics", "synapse/homeserver.yaml", b"newer\n");
        Self { newer: site.issue().bundle().bytes(), appliance }
    }

    fn stick(&self) -> ImportSource {
        ImportSource::Path(self.appliance.path("stick"))
    }

    /// The large file is staged, whole.
    fn has_staged(&self) -> bool {
        let staged = files_below(&self.appliance.path("state/staging"));
        staged.iter().any(|(path, content)| content.len() == LARGE && path.extension().is_none())
    }

    /// Begins to import the newer bundle; returns once everything is staged and only the archive's end is still to come.
    async fn begin(&self, agent: &Agent, transport: Transport) -> (PipeWriter, oneshot::Receiver<Answer>) {
        let (reading, mut writing) = std::io::pipe().unwrap();
        let answer = ask(agent, stream(reading.into()), transport).await;
        let begin = self.newer[..self.newer.len() - 1024].to_vec();
        let feeding = std::thread::spawn(move || {
            writing.write_all(&begin).unwrap();
            writing
        });
        while !self.has_staged() {
            tokio::task::yield_now().await;
        }
        (feeding.join().unwrap(), answer)
    }

    fn end(&self) -> &[u8] {
        &self.newer[self.newer.len() - 1024..]
    }
}

fn stream(reading: OwnedFd) -> ImportSource {
    ImportSource::Stream(File::from(reading))
}

/// Orders an import; it has its place in the queue once a later question is answered.
async fn ask(agent: &Agent, source: ImportSource, transport: Transport) -> oneshot::Receiver<Answer> {
    let (reply, answer) = oneshot::channel();
    let call = Call::Import { source, transport, wait: false, dry_run: false };
    agent.calls().send(Request { call, reply }).await.unwrap();
    agent.call(Call::Status).await.unwrap();
    answer
}

async fn code(answer: oneshot::Receiver<Answer>) -> Code {
    match answer.await.unwrap() {
        Ok(report) => serde_json::from_value::<ImportReport>(report).unwrap().code,
        Err(failure) => failure.code,
    }
}

#[test]
fn a_stick_ends_a_stream_from_the_network_and_what_that_had_brought_stays() {
    let crossing = Crossing::new();
    let codes = crossing.appliance.host(async |agent: &Agent| {
        let (mut writing, pulled) = crossing.begin(agent, Transport::Pull).await;
        let stick = code(ask(agent, crossing.stick(), Transport::Stick).await).await;
        let pulled = code(pulled).await;
        // Whoever fetches sees that nobody takes anything any more.
        assert_eq!(writing.write_all(crossing.end()).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(crossing.has_staged(), "it need not be fetched again");
        let (mut writing, again) = crossing.begin(agent, Transport::Pull).await;
        writing.write_all(crossing.end()).unwrap();
        drop(writing);
        [stick, pulled, code(again).await]
    });
    assert_eq!(codes.unwrap(), [Code::Applied, Code::Overload, Code::Applied]);
    assert!(!crossing.has_staged(), "nothing waits for it any more");
    let transports = crossing.appliance.receipts().into_iter().map(|receipt| receipt.predicate.transport);
    assert_eq!(transports.collect::<Vec<_>>(), [Some(Transport::Stick), Some(Transport::Pull)]);
    assert!(!files_below(&crossing.appliance.path("stick/out")).is_empty());
}

#[test]
fn a_stream_that_a_person_sends_is_not_ended_for_a_stick() {
    let crossing = Crossing::new();
    let codes = crossing.appliance.host(async |agent: &Agent| {
        let (mut writing, sent) = crossing.begin(agent, Transport::Local).await;
        let mut stick = ask(agent, crossing.stick(), Transport::Stick).await;
        assert!(stick.try_recv().is_err());
        writing.write_all(crossing.end()).unwrap();
        drop(writing);
        [code(sent).await, code(stick).await]
    });
    assert_eq!(codes.unwrap(), [Code::Applied, Code::MetadataRollback]);
}

#[test]
fn however_many_bundles_wait_from_the_network_a_stick_is_taken_at_once() {
    let crossing = Crossing::new();
    let file = crossing.appliance.path("newer.casemate");
    std::fs::write(&file, &crossing.newer).unwrap();
    let codes = crossing.appliance.host(async |agent: &Agent| {
        let (_writing, pulled) = crossing.begin(agent, Transport::Pull).await;
        let mut waiting = Vec::new();
        for _ in 0..8 {
            waiting.push(ask(agent, ImportSource::Path(file.clone()), Transport::Mqtt).await);
        }
        let refused = ask(agent, ImportSource::Path(file.clone()), Transport::Push).await;
        assert_eq!(code(refused).await, Code::Overload);
        assert!(waiting.iter_mut().all(|answer| answer.try_recv().is_err()), "the stream has not ended");
        let mut codes = vec![code(ask(agent, crossing.stick(), Transport::Stick).await).await, code(pulled).await];
        for answer in waiting {
            codes.push(code(answer).await);
        }
        codes
    });
    // The stick was first: the older bundle would be refused after the newer one.
    let mut expected = vec![Code::Applied, Code::Overload, Code::Applied];
    expected.extend([Code::AlreadyApplied; 7]);
    assert_eq!(codes.unwrap(), expected);
}

/// An agent that has to be started anew while it imports what comes by `transport`, of which nothing has come yet.
async fn restarting(appliance: &Appliance, transport: Transport) -> (Agent, PipeWriter, oneshot::Receiver<Answer>) {
    let confined = Confined { force: Some(Force::read(&appliance.path("state/boundary"))), layers: None };
    let agent = Agent::start(Config { confined, ..appliance.config() }).await.unwrap();
    let (reading, writing) = std::io::pipe().unwrap();
    let answer = ask(&agent, stream(reading.into()), transport).await;
    appliance.pass(600);
    agent.look_now().await;
    (agent, writing, answer)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn while_a_restart_waits_for_an_import_questions_are_answered() {
    in_own_network(|| {
        let (appliance, _) = on_trial();
        block_on(async {
            let (agent, writing, mut answer) = restarting(&appliance, Transport::Local).await;
            for call in [Call::Status, Call::Health, Call::Status] {
                assert!(agent.call(call).await.is_ok());
            }
            assert!(answer.try_recv().is_err());
            drop(writing);
            assert_eq!(code(answer).await, Code::ArchiveTruncated);
            agent.calls().closed().await;
            assert_eq!(agent.stop().await.unwrap(), Ended::Restart);
        });
    });
}

#[test]
fn a_restart_does_not_wait_for_a_stream_from_the_network() {
    in_own_network(|| {
        let (appliance, _) = on_trial();
        block_on(async {
            let (agent, writing, answer) = restarting(&appliance, Transport::Pull).await;
            assert_eq!(code(answer).await, Code::Overload);
            agent.calls().closed().await;
            assert_eq!(agent.stop().await.unwrap(), Ended::Restart);
            drop(writing);
        });
    });
}

/// An appliance whose state has a disk of 64 MiB for itself.
struct Cramped {
    appliance: Appliance,
    bundle: Vec<u8>,
}

impl Drop for Cramped {
    fn drop(&mut self) {
        let _status = std::process::Command::new("umount").arg(self.appliance.path("state")).status();
    }
}

impl Cramped {
    /// None without the right to mount.
    fn new() -> Option<Self> {
        let appliance = Appliance::new(AGENT);
        std::fs::create_dir(appliance.path("state")).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs"]).arg(appliance.path("state"));
        if !mount.status().is_ok_and(|status| status.success()) {
            eprintln!("no right to mount here: a full disk is not tried");
            return None;
        }
        let mut site = Site::single(vec![7; 30 << 20]);
        appliance.enrol(&mut site, "lux-001");
        let bundle = site.issue().bundle().bytes();
        Some(Self { appliance, bundle })
    }

    /// Puts a file below the state.
    fn fill(&self, path: &str, bytes: usize) -> PathBuf {
        let path = self.appliance.path("state").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, vec![1; bytes]).unwrap();
        path
    }

    fn import(&self, path: &str, transport: Transport) -> Code {
        let source = ImportSource::Path(self.appliance.path(path));
        let call = Call::Import { source, transport, wait: false, dry_run: false };
        serde_json::from_value::<ImportReport>(self.appliance.ask(call).unwrap()).unwrap().code
    }
}

#[test]
fn on_a_full_disk_leftovers_go_for_any_bundle_and_unfinished_uploads_for_a_stick() {
    let Some(cramped) = Cramped::new() else { return };
    let leftover = cramped.fill(&format!("staging/{}.partial", Digest::of(b"former")), 12 << 20);
    let upload = cramped.fill("spool/push/publisher.upload", 33 << 20);
    let memory = cramped.fill("spool/mqtt/broker/had", 100);
    cramped.appliance.carry(&[("bundle.casemate", &cramped.bundle)]);
    let file = "stick/in/bundle.casemate";
    // What came from the network may be a file of the spool itself.
    assert_eq!(cramped.import(file, Transport::Push), Code::DiskFull);
    assert!(!leftover.exists() && upload.exists());
    assert_eq!(cramped.import("stick", Transport::Stick), Code::Applied);
    assert!(!upload.exists() && memory.exists());
}

#[test]
fn on_a_full_disk_leftovers_that_are_enough_are_all_that_goes() {
    let Some(cramped) = Cramped::new() else { return };
    let leftover = cramped.fill(&format!("staging/{}", Digest::of(b"former")), 40 << 20);
    cramped.appliance.carry(&[("bundle.casemate", &cramped.bundle)]);
    let file = "stick/in/bundle.casemate";
    let source = ImportSource::Path(cramped.appliance.path(file));
    let call = Call::Import { source, transport: Transport::Local, wait: false, dry_run: true };
    let foreseen = cramped.appliance.ask(call).unwrap();
    assert_eq!((foreseen["code"].as_str(), leftover.exists()), (Some("disk-full"), true), "a dry run changes nothing");
    assert_eq!(cramped.import(file, Transport::Mqtt), Code::Applied, "the bundle is looked at again");
    assert!(!leftover.exists());
}
