//! The loop.

use std::collections::VecDeque;
use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::error::RuntimeError;
use super::import::import;
use super::store_thread::{Desk, StoreThread};
use crate::config::Config;
use crate::exit::Failure;
use crate::intake::Progress;
use crate::local_api::Hub;
use crate::local_api::call::{Answer, Call, ImportSource, Request};

/// Calls that may wait for the loop.
const QUEUE: usize = 32;
/// Imports that may wait for the one that runs.
const WAITING_IMPORTS: usize = 8;

/// A running loop: the one owner of its state folder.
pub struct Agent {
    calls: mpsc::Sender<Request>,
    hub: Hub,
    progress: watch::Receiver<Progress>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), Failure>>,
}

impl Agent {
    /// Opens the state, finishes what a crash interrupted, and starts to take calls.
    ///
    /// # Errors
    /// Another process owns the state, it belongs to another user, or it cannot be read.
    pub async fn start(config: Config) -> Result<Self, Failure> {
        let store = StoreThread::start(config).await?;
        let hub = store.desk().ask(|keeper| keeper.hub.clone()).await?;
        let (calls, queue) = mpsc::channel(QUEUE);
        let (stop, stopped) = oneshot::channel();
        let (steps, progress) = watch::channel(Progress { done: 0, total: 0 });
        let ended = tokio::spawn(run(store, queue, steps, stopped));
        Ok(Self { calls, hub, progress, stop, ended })
    }

    /// How far the import under way is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Where changes are told.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// Where calls go in.
    #[must_use]
    pub fn calls(&self) -> mpsc::Sender<Request> {
        self.calls.clone()
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// What the agent refuses.
    pub async fn call(&self, call: Call) -> Answer {
        ask(&self.calls, call).await
    }

    /// Ends the loop: an import under way is abandoned (its child dies, nothing of it is current), calls under way
    /// are answered, the state is closed in order.
    ///
    /// # Errors
    /// The state could not be closed in order; it is safe all the same.
    pub async fn stop(self) -> Result<(), Failure> {
        let _ended = self.stop.send(());
        drop(self.calls);
        self.ended.await.map_err(|_| RuntimeError::Stopping)?
    }
}

/// Puts a call into a loop's queue and waits for the answer.
pub(super) async fn ask(calls: &mpsc::Sender<Request>, call: Call) -> Answer {
    let (reply, answer) = oneshot::channel();
    calls.send(Request { call, reply }).await.map_err(|_| RuntimeError::Stopping)?;
    answer.await.map_err(|_| RuntimeError::Stopping)?
}

async fn run(
    store: StoreThread,
    mut calls: mpsc::Receiver<Request>,
    progress: watch::Sender<Progress>,
    mut stopped: oneshot::Receiver<()>,
) -> Result<(), Failure> {
    let mut waiting: VecDeque<(PathBuf, oneshot::Sender<Answer>)> = VecDeque::new();
    let mut importing: Option<JoinHandle<()>> = None;
    let mut answering = JoinSet::new();
    loop {
        if importing.is_none()
            && let Some((path, reply)) = waiting.pop_front()
        {
            importing = Some(start_import(store.desk(), path, progress.clone(), reply));
        }
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            () = under_way(&mut importing) => importing = None,
            Some(_) = answering.join_next() => {}
            request = calls.recv() => match request {
                None => break,
                Some(Request { call: Call::Import { source: ImportSource::Path(path), dry_run: false, .. }, reply })
                    if waiting.len() < WAITING_IMPORTS =>
                {
                    waiting.push_back((path, reply));
                }
                Some(Request { call: Call::Import { source: ImportSource::Stream(_), .. }, reply })
                | Some(Request { call: Call::Import { dry_run: true, .. }, reply }) => {
                    let _asked = reply.send(Err(RuntimeError::NotYet.into()));
                }
                Some(Request { call: Call::Import { .. }, reply }) => {
                    let _asked = reply.send(Err(RuntimeError::Overload(WAITING_IMPORTS).into()));
                }
                Some(Request { call, reply }) => {
                    let desk = store.desk();
                    answering.spawn(async move {
                        let answer = desk.ask(move |keeper| keeper.answer(call)).await;
                        let _asked = reply.send(answer.unwrap_or_else(|stopping| Err(stopping.into())));
                    });
                }
            }
        }
    }
    while answering.join_next().await.is_some() {}
    store.stop().await
}

fn start_import(
    desk: Desk,
    path: PathBuf,
    progress: watch::Sender<Progress>,
    reply: oneshot::Sender<Answer>,
) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let answer = import(&desk, &path, &progress).and_then(|report| {
            serde_json::to_value(report).map_err(|source| RuntimeError::Stored { what: "report", source }.into())
        });
        if let Err(failure) = &answer {
            tracing::warn!(code = %failure.code, "import failed");
        }
        let _asked = reply.send(answer);
    })
}

async fn under_way(importing: &mut Option<JoinHandle<()>>) {
    match importing {
        // A panic in the import has lost its caller's answer; the loop goes on.
        Some(running) => drop(running.await),
        None => std::future::pending().await,
    }
}
