//! One call after the other: who is answered at once, who waits for an import, who waits for its outcome.

use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::error::RuntimeError;
use super::import::{Imported, import};
use super::queue::{Order, Queue, WAITING_IMPORTS};
use super::store_thread::{Desk, StoreThread};
use crate::exit::Failure;
use crate::intake::{Halt, Progress};
use crate::local_api::answer::ImportReport;
use crate::local_api::call::{Answer, Call, Request};
use crate::local_api::hub::Follower;

/// An import under way.
struct Running {
    task: JoinHandle<Option<Patient>>,
    /// Ends it, if it gives way.
    halt: Option<Halt>,
}

/// An import whose bundle is on trial, and who waits for the outcome.
struct Patient {
    report: ImportReport,
    snapshot: Digest,
    reply: oneshot::Sender<Answer>,
}

/// Why a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to, or nobody was left who could ask.
    Stopped,
    /// What is in force now takes a new process.
    Restart,
}

/// The loop's own state.
pub(super) struct Turn {
    store: StoreThread,
    progress: watch::Sender<Progress>,
    waiting: Queue,
    importing: Option<Running>,
    patients: Vec<Patient>,
    answering: JoinSet<()>,
}

impl Turn {
    pub(super) fn new(store: StoreThread, progress: watch::Sender<Progress>) -> Self {
        Self {
            store,
            progress,
            waiting: Queue::default(),
            importing: None,
            patients: Vec::new(),
            answering: JoinSet::new(),
        }
    }

    /// Takes calls until nobody is left who could ask, or it is stopped; then closes the state.
    pub(super) async fn run(
        mut self,
        mut calls: mpsc::Receiver<Request>,
        mut stopped: oneshot::Receiver<()>,
    ) -> Result<Ended, Failure> {
        let hub = self.store.hub();
        let mut restart = self.store.restart();
        let mut ended = Ended::Stopped;
        let mut changes = hub.follow(None);
        loop {
            let ending = *restart.borrow_and_update();
            if ending && self.importing.is_none() && self.answering.is_empty() {
                ended = Ended::Restart;
                break;
            }
            if self.importing.is_none()
                && !ending
                && let Some(order) = self.waiting.pop()
            {
                self.importing = Some(start(self.store.desk(), order, self.progress.clone()));
            }
            // Neither a person nor a restart waits for a line that may be slow, or silent.
            if let Some(running) = self.importing.as_ref().filter(|_| ending || self.waiting.has_people()) {
                running.give_way();
            }
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                Ok(()) = restart.changed() => {}
                patient = under_way(&mut self.importing) => {
                    self.importing = None;
                    self.patients.extend(patient);
                    self.attend().await;
                }
                () = news(&mut changes, &self.patients) => {
                    // Whatever was missed is found by looking.
                    changes = hub.follow(None);
                    self.attend().await;
                }
                Some(_) = self.answering.join_next() => {}
                // What runs is answered; whoever asks then finds the next process. As long as an import runs, that takes
                // its time: consumers have to report meanwhile, and the watchdog has to see that all is well.
                request = calls.recv(), if !ending || self.importing.is_some() => match request {
                    None => break,
                    Some(request) => self.take(request),
                }
            }
        }
        self.close().await?;
        Ok(ended)
    }

    fn take(&mut self, Request { call, reply }: Request) {
        match call {
            Call::Import { source, transport, wait, dry_run } => {
                if let Err(order) = self.waiting.push(Order { source, transport, wait, dry_run, reply }) {
                    let _asked = order.reply.send(Err(RuntimeError::Overload(WAITING_IMPORTS).into()));
                }
            }
            call => {
                let desk = self.store.desk();
                self.answering.spawn(async move {
                    let answer = desk.ask(move |keeper| keeper.answer(call)).await;
                    let _asked = reply.send(answer.unwrap_or_else(|stopping| Err(stopping.into())));
                });
            }
        }
    }

    /// Answers those whose bundle is final by now.
    async fn attend(&mut self) {
        for mut patient in std::mem::take(&mut self.patients) {
            if patient.reply.is_closed() {
                continue;
            }
            let (snapshot, report) = (patient.snapshot, patient.report.bundles.first().cloned());
            let Some(report) = report else { continue };
            let file = report.file.clone();
            match self.store.desk().ask(move |keeper| keeper.outcome(snapshot, &report)).await {
                Ok(Ok(None)) => self.patients.push(patient),
                Ok(Ok(Some(report))) => {
                    patient.report.code = report.code;
                    if let Some(first) = patient.report.bundles.first_mut() {
                        *first = crate::local_api::answer::BundleReport { file, ..report };
                    }
                    patient.discharge();
                }
                Ok(Err(failure)) => {
                    let _asked = patient.reply.send(Err(failure));
                }
                Err(_) => patient.discharge(),
            }
        }
    }

    /// Whoever still waits is told how far it is: the trial goes on with the next start.
    async fn close(mut self) -> Result<(), Failure> {
        self.patients.drain(..).for_each(Patient::discharge);
        while self.answering.join_next().await.is_some() {}
        self.store.stop().await
    }
}

impl Running {
    /// Ends it if it is one of those that can come again.
    fn give_way(&self) {
        if let Some(halt) = self.halt.as_ref().filter(|halt| !halt.is_called()) {
            tracing::info!("a bundle from the network gives way: what was verified of it stays");
            halt.call();
        }
    }
}

impl Patient {
    fn discharge(self) {
        let _asked = self.reply.send(document(&self.report));
    }
}

fn document(report: &ImportReport) -> Answer {
    serde_json::to_value(report).map_err(|source| RuntimeError::Stored { what: "report", source }.into())
}

fn start(desk: Desk, order: Order, progress: watch::Sender<Progress>) -> Running {
    let halt = order.gives_way().then(Halt::default);
    let own = halt.clone().unwrap_or_default();
    let task = tokio::task::spawn_blocking(move || {
        let Order { source, transport, wait, dry_run, reply } = order;
        let answer = match import(&desk, source, transport, dry_run, own, &progress) {
            Ok(Imported { report, snapshot: Some(snapshot) }) if wait && !dry_run && report.code == Code::Probation => {
                return Some(Patient { report, snapshot, reply });
            }
            Ok(imported) => document(&imported.report),
            Err(failure) => {
                tracing::warn!(code = %failure.code, "import failed");
                Err(failure)
            }
        };
        let _asked = reply.send(answer);
        None
    });
    Running { task, halt }
}

async fn under_way(importing: &mut Option<Running>) -> Option<Patient> {
    match importing {
        // A panic in the import has lost its caller's answer; the loop goes on.
        Some(running) => (&mut running.task).await.ok().flatten(),
        None => std::future::pending().await,
    }
}

/// The next change, for those who wait for one.
async fn news(changes: &mut Follower, patients: &[Patient]) {
    if patients.is_empty() {
        return std::future::pending().await;
    }
    changes.next().await;
}
