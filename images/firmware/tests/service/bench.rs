//! A service, its agent and two slots that are files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use casemate_firmware::agent::Agent;
use casemate_firmware::ledger::{Entries, Ledger};
use casemate_firmware::service::Service;
use casemate_firmware::slot::{Files, SlotName, SlotWriter};
use casemate_firmware::wish::Assigners;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// What runs, in slot a.
pub(crate) const RUNNING: &[u8] = b"what runs now";

/// The folder everything stands in.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["generation/firmware", "state"] {
            std::fs::create_dir_all(bench.path(name)).unwrap();
        }
        std::fs::write(bench.path("a"), RUNNING).unwrap();
        bench.boot("a");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the kernel says it booted.
    pub(crate) fn boot(&self, slot: &str) {
        std::fs::write(self.path("cmdline"), format!("quiet casemate.slot={slot} ro\n")).unwrap();
    }

    /// A file of the current generation.
    pub(crate) fn assign(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path("generation/firmware").join(name), content).unwrap();
    }

    pub(crate) fn slot(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_default()
    }

    /// What boots next, as the boot loader reads it.
    pub(crate) fn next(&self) -> String {
        std::fs::read_to_string(self.path("pointer")).map_or_else(|_| "a".into(), |text| text.trim().to_owned())
    }

    pub(crate) fn files(&self) -> Files {
        let slots: BTreeMap<_, _> = ["a", "b"].map(|name| (SlotName::new(name), self.path(name))).into();
        Files::new(slots, self.path("pointer"), self.path("cmdline"), Duration::from_secs(60))
    }

    pub(crate) fn ledger(&self) -> Entries {
        Ledger::open(&self.path("state")).unwrap().entries
    }

    /// Starts the service, in the `boot`-th boot of the machine.
    pub(crate) fn start(&self, writer: impl SlotWriter + 'static, boot: &str) -> Running {
        let service = Service {
            agent: Agent::new(self.path("consumer.sock")),
            consumer: "firmware".parse().unwrap(),
            assigners: Assigners::AnyGroup,
            writer,
            ledger: Ledger::open(&self.path("state")).unwrap(),
            folder: self.path("state"),
            boot: boot.into(),
        };
        Running(tokio::task::spawn_local(service.run()))
    }
}

/// A service that runs until this is dropped.
pub(crate) struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a test whose tasks share one thread, within a time no test needs.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(120), test).await };
    tokio::task::LocalSet::new().block_on(&runtime, limited).expect("the test waits for what never comes");
}
