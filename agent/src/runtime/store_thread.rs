//! The one thread that touches the state.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use super::duties::Duties;
use super::error::RuntimeError;
use super::keeper::Keeper;
use super::links::Ties;
use crate::boundary::connect::Door;
use crate::config::Config;
use crate::exit::Failure;
use crate::local_api::hub::Hub;
use crate::transport::backend::News;
use crate::transport::tls::Credentials;

/// Jobs that may wait for the thread. One import and as many calls as the socket serves at once.
const QUEUE: usize = 64;

type Work = Box<dyn FnOnce(&mut Keeper) + Send>;

enum Job {
    Work(Work),
    Stop,
}

/// A way to the store thread; clones lead to the same one.
#[derive(Clone)]
pub(super) struct Desk(mpsc::Sender<Job>);

/// The thread itself.
pub(super) struct StoreThread {
    desk: Desk,
    hub: Hub,
    duties: watch::Receiver<Duties>,
    door: Door,
    credentials: watch::Receiver<Option<Arc<Credentials>>>,
    news: watch::Receiver<News>,
    restart: watch::Receiver<bool>,
    thread: JoinHandle<Result<(), Failure>>,
}

/// What leads to and from the keeper.
struct Ways {
    hub: Hub,
    duties: watch::Receiver<Duties>,
    door: Door,
    credentials: watch::Receiver<Option<Arc<Credentials>>>,
    news: watch::Receiver<News>,
    restart: watch::Receiver<bool>,
}

impl Ways {
    fn of(keeper: &Keeper) -> Self {
        let (duties, restart) = (keeper.duties.subscribe(), keeper.restart.subscribe());
        let (credentials, news) = (keeper.credentials.subscribe(), keeper.news.subscribe());
        Self { hub: keeper.hub.clone(), duties, door: keeper.door.clone(), credentials, news, restart }
    }
}

impl StoreThread {
    /// Starts the thread and opens the state on it.
    pub(super) async fn start(config: Config) -> Result<Self, Failure> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let (opened, opening) = oneshot::channel();
        let work = move || {
            let mut keeper = match Keeper::open(config) {
                Ok(keeper) => keeper,
                Err(failure) => {
                    let _asked = opened.send(Err(failure));
                    return Ok(());
                }
            };
            let _asked = opened.send(Ok(Ways::of(&keeper)));
            while let Some(Job::Work(work)) = queue.blocking_recv() {
                work(&mut keeper);
                keeper.tell_duties();
            }
            keeper.close()
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(work)
            .map_err(|source| RuntimeError::Start { action: "start the store thread", source })?;
        let Ways { hub, duties, door, credentials, news, restart } =
            opening.await.map_err(|_| RuntimeError::Stopping)??;
        Ok(Self { desk: Desk(jobs), hub, duties, door, credentials, news, restart, thread })
    }

    pub(super) fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Where the thread tells what changed.
    pub(super) fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// What the thread wants watched.
    pub(super) fn duties(&self) -> watch::Receiver<Duties> {
        self.duties.clone()
    }

    /// The way to peers of the policy in force.
    pub(super) fn door(&self) -> Door {
        self.door.clone()
    }

    /// What leads to and from the thread for transports.
    pub(super) fn ties(&self) -> Ties {
        let (credentials, news) = (self.credentials.clone(), self.news.clone());
        Ties { desk: self.desk(), hub: self.hub(), door: self.door(), credentials, news }
    }

    /// Whether this process has to be started anew.
    pub(super) fn restart(&self) -> watch::Receiver<bool> {
        self.restart.clone()
    }

    /// Lets the thread finish what it was given before and close the state in order. An import that is still reading
    /// finds nobody to ask.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        let Self { desk, thread, .. } = self;
        // The thread is gone already if it takes nothing.
        let _given = desk.0.send(Job::Stop).await;
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(closed)) => closed,
            _ => Err(RuntimeError::Stopping.into()),
        }
    }
}

impl Desk {
    /// Has `work` done on the store thread.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (job, answer) = prepare(work);
        self.0.send(job).await.map_err(|_| RuntimeError::Stopping)?;
        answer.await.map_err(|_| RuntimeError::Stopping)
    }

    /// Has `work` done when the thread comes to it, if it can take any more now: for what is only of interest.
    pub(super) fn tell(&self, work: impl FnOnce(&mut Keeper) + Send + 'static) {
        if self.0.try_send(Job::Work(Box::new(work))).is_err() {
            tracing::debug!("the store thread has no time");
        }
    }

    /// As [`Self::ask`], from a thread that may block.
    pub(super) fn ask_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (job, answer) = prepare(work);
        self.0.blocking_send(job).map_err(|_| RuntimeError::Stopping)?;
        answer.blocking_recv().map_err(|_| RuntimeError::Stopping)
    }
}

fn prepare<T: Send + 'static>(work: impl FnOnce(&mut Keeper) -> T + Send + 'static) -> (Job, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    let work: Work = Box::new(move |keeper| {
        // Whoever asked may have left.
        let _asked = reply.send(work(keeper));
    });
    (Job::Work(work), answer)
}
