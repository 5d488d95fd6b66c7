//! The loop.

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::error::RuntimeError;
use super::links::Ties;
use super::store_thread::{Desk, StoreThread};
use super::turn::{Ended, Turn};
use super::vigil::{Nudge, Vigil};
use crate::config::Config;
use crate::exit::Failure;
use crate::health::probe::Prober;
use crate::intake::Progress;
use crate::local_api::call::{Answer, Call, Request};
use crate::local_api::hub::Hub;

/// Calls that may wait for the loop.
const QUEUE: usize = 32;

/// A running loop: the one owner of its state folder.
pub struct Agent {
    calls: mpsc::Sender<Request>,
    nudges: mpsc::Sender<Nudge>,
    desk: Desk,
    hub: Hub,
    ties: Ties,
    progress: watch::Receiver<Progress>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<Ended, Failure>>,
    over: watch::Receiver<bool>,
}

impl Agent {
    /// Opens the state, finishes what a crash interrupted, and starts to take calls and to watch over what is under
    /// way.
    ///
    /// # Errors
    /// Another process owns the state, it belongs to another user, or it cannot be read.
    pub async fn start(config: Config) -> Result<Self, Failure> {
        let (clock, prober) = (config.clock.clone(), Prober::new(&config.cgroups));
        let store = StoreThread::start(config).await?;
        let (desk, hub) = (store.desk(), store.hub());
        let (calls, queue) = mpsc::channel(QUEUE);
        let (nudges, nudged) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let (steps, progress) = watch::channel(Progress { done: 0, total: 0 });
        let vigil = tokio::spawn(Vigil::new(&store, clock, prober).keep(nudged));
        let ties = store.ties();
        let turn = Turn::new(store, steps);
        let (ending, over) = watch::channel(false);
        let ended = tokio::spawn(async move {
            let outcome = turn.run(queue, stopped).await;
            vigil.abort();
            ending.send_replace(true);
            outcome
        });
        Ok(Self { calls, nudges, desk, hub, ties, progress, stop, ended, over })
    }

    /// How far the import under way is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Where calls go in.
    #[must_use]
    pub fn calls(&self) -> mpsc::Sender<Request> {
        self.calls.clone()
    }

    /// Where changes are told.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// What leads to and from it for transports.
    pub(super) fn ties(&self) -> Ties {
        self.ties.clone()
    }

    /// The way to the store thread.
    pub(super) fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// What the agent refuses.
    pub async fn call(&self, call: Call) -> Answer {
        ask(&self.calls, call).await
    }

    /// Waits until the loop has ended by itself, everything it was asked answered.
    pub(super) async fn over(&self) {
        let mut over = self.over.clone();
        let _ended = over.wait_for(|over| *over).await;
    }

    /// Has what is due by the clock done and every probe asked once, now, and waits until that is done. It happens by
    /// itself too: this is for whoever has just moved the clock.
    pub async fn look_now(&self) {
        let (done, looked) = oneshot::channel();
        if self.nudges.send(done).await.is_ok() {
            // It ends without a word only when the agent is stopping.
            let _looked = looked.await;
        }
    }

    /// Ends the loop: an import under way is abandoned (its child dies, nothing of it is current), calls under way
    /// are answered, the state is closed in order. A generation on trial stays on trial: the next start carries on. Says
    /// whether it had ended by itself because a new process is needed.
    ///
    /// # Errors
    /// The state could not be closed in order; it is safe all the same.
    pub async fn stop(self) -> Result<Ended, Failure> {
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
