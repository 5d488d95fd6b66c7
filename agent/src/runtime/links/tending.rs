//! Transports, started and started again.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::boundary::{Listen, Peer, Policy};
use casemate_protocol::evidence::receipt::Transport;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::contacts::transport;
use super::orders;
use crate::boundary::connect::Door;
use crate::config::Config;
use crate::local_api::call::Request;
use crate::local_api::{Hub, Remote, Spool};
use crate::outbox;
use crate::runtime::keeper::Keeper;
use crate::runtime::store_thread::Desk;
use crate::transport::backend::{Backend, News};
use crate::transport::push::{self, Limits, Listener};
use crate::transport::tls::Credentials;
use crate::transport::{mqtt, pull};

/// Orders that may wait.
const QUEUE: usize = 32;
/// Pause before a transport that ended by itself is started again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause, and how long a transport has to run to count as sound.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often health is looked at for those who are told when it changes: not everything that changes it is recorded.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// What leads to and from the one owner of the state.
#[derive(Clone)]
pub(in crate::runtime) struct Ties {
    pub(in crate::runtime) desk: Desk,
    pub(in crate::runtime) hub: Hub,
    pub(in crate::runtime) door: Door,
    pub(in crate::runtime) credentials: watch::Receiver<Option<Arc<Credentials>>>,
    pub(in crate::runtime) news: watch::Receiver<News>,
}

/// The transports that run for one policy; they end when this is dropped.
struct Running {
    policy: Arc<Policy>,
    credentials: watch::Sender<Arc<Credentials>>,
    _tasks: JoinSet<Infallible>,
}

/// Runs the transports of the policy in force as long as there is something to connect with. Dropped, it ends them.
pub(in crate::runtime) async fn tend(mut ties: Ties, calls: mpsc::Sender<Request>, config: &Config) -> Infallible {
    let (orders, queue) = mpsc::channel(QUEUE);
    let mut serving = pin!(orders::serve(queue, ties.desk.clone(), calls.clone()));
    let mut policies = ties.door.changes();
    let spool = config.state.join("spool");
    let backend = Backend {
        door: ties.door.clone(),
        spool: spool.clone(),
        reserve: config.reserve,
        orders,
        look: Arc::new(Notify::new()),
        news: ties.news.clone(),
    };
    let reception = Reception {
        desk: ties.desk.clone(),
        calls,
        hub: ties.hub.clone(),
        spool: spool.join(folder(Transport::Push)),
        reserve: config.reserve,
    };
    let mut running: Option<Running> = None;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        let policy = policies.borrow_and_update().clone();
        let credentials = ties.credentials.borrow_and_update().clone();
        running = match (credentials, running.take()) {
            (None, _) => None,
            (Some(credentials), Some(running)) if running.policy == policy => {
                // Whoever is told anew connects anew.
                running.credentials.send_if_modified(|told| {
                    let is_news = !Arc::ptr_eq(told, &credentials);
                    *told = credentials;
                    is_news
                });
                Some(running)
            }
            (Some(credentials), _) => Some(Running::start(policy, credentials, &backend, &reception)),
        };
        let has_broker = running.as_ref().is_some_and(Running::has_broker);
        tokio::select! {
            () = &mut serving => std::future::pending().await,
            changed = policies.changed() => if changed.is_err() { std::future::pending().await },
            changed = ties.credentials.changed() => if changed.is_err() { std::future::pending().await },
            _ = looks.tick(), if has_broker => drop(ties.desk.ask(Keeper::tell_news).await),
        }
    }
}

impl Running {
    fn start(policy: Arc<Policy>, credentials: Arc<Credentials>, backend: &Backend, reception: &Reception) -> Self {
        let credentials = watch::Sender::new(credentials);
        let mut tasks = JoinSet::new();
        if let Err(error) = clear(&backend.spool, &policy) {
            tracing::warn!(%error, "what peers of the past left in the spool stays");
        }
        for peer in &policy.peers {
            let Some(kind) = transport(peer) else { continue };
            let folder = backend.spool.join(folder(kind)).join(peer.id.as_str());
            let backend = Backend { spool: folder, ..backend.clone() };
            let (peer, credentials) = (peer.clone(), credentials.clone());
            tasks.spawn(async move {
                let start = || run(kind, peer.clone(), backend.clone(), credentials.subscribe());
                again_and_again(peer.id.as_str(), start).await
            });
        }
        if let Some(listen) = policy.listen.clone() {
            let (reception, credentials) = (reception.clone(), credentials.clone());
            tasks.spawn(async move {
                let start = || receive(listen.clone(), reception.clone(), credentials.subscribe());
                again_and_again("the listener", start).await
            });
        }
        Self { policy, credentials, _tasks: tasks }
    }

    fn has_broker(&self) -> bool {
        self.policy.peers.iter().any(|peer| transport(peer) == Some(Transport::Mqtt))
    }
}

async fn run(kind: Transport, peer: Peer, backend: Backend, credentials: watch::Receiver<Arc<Credentials>>) {
    if let Err(error) = make(&backend.spool) {
        tracing::error!(peer = %peer.id, %error, "there is no place for what a peer sends");
        return;
    }
    match kind {
        Transport::Pull => pull::run(peer, backend, credentials).await,
        Transport::Mqtt => mqtt::run(peer, backend, credentials).await,
        // Nobody is connected to for these.
        Transport::Push | Transport::Local | Transport::Stick => std::future::pending().await,
    }
}

/// What it takes to answer whoever connects.
#[derive(Clone)]
struct Reception {
    desk: Desk,
    calls: mpsc::Sender<Request>,
    hub: Hub,
    spool: PathBuf,
    reserve: u64,
}

/// Says that the listener is gone when it is.
struct Listening(Desk);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.tell(|keeper| keeper.listens(false));
    }
}

async fn receive(listen: Listen, reception: Reception, credentials: watch::Receiver<Arc<Credentials>>) {
    let Reception { desk, calls, hub, spool, reserve } = reception;
    let spool = match Spool::open(&spool, reserve) {
        Ok(spool) => spool,
        Err(error) => return tracing::error!(%error, "there is no place for bundles that are sent here"),
    };
    let remote = Remote::new(calls, hub, spool, outbox::answer);
    let _listening = Listening(desk.clone());
    let teller = desk.clone();
    let on_stream = move |stream, name| {
        desk.tell(Keeper::visited);
        let remote = remote.clone();
        async move { remote.serve(stream, name).await }
    };
    let told = move |news| match news {
        push::News::Opened(_) => {
            tracing::info!("the listener is open to certificates of this site");
            teller.tell(|keeper| keeper.listens(true));
        }
        push::News::Closed => teller.tell(|keeper| keeper.listens(false)),
        push::News::Refused(count) => teller.tell(move |keeper| keeper.turned_away(count)),
    };
    Listener::new(listen, Limits::default()).serve(credentials, on_stream, told).await;
}

/// A transport never ends by itself; one that does, or panics, is started again, later and later.
async fn again_and_again<F>(what: &str, start: impl Fn() -> F) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        // A set of its own: the task ends with whoever waits for it.
        let mut task = JoinSet::new();
        task.spawn(start());
        let reason = if task.join_next().await.is_some_and(|ended| ended.is_err()) { "panicked" } else { "ended" };
        if began.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        tracing::error!(peer = what, reason, "a transport has ended; it is started again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

const fn folder(kind: Transport) -> &'static str {
    match kind {
        Transport::Pull => "pull",
        Transport::Mqtt => "mqtt",
        Transport::Push | Transport::Local | Transport::Stick => "push",
    }
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Removes what peers left that `policy` does not name any more.
fn clear(spool: &Path, policy: &Policy) -> io::Result<()> {
    let named = policy.peers.iter().filter_map(|peer| Some((transport(peer)?, peer)));
    let mut wanted: BTreeSet<PathBuf> =
        named.map(|(kind, peer)| spool.join(folder(kind)).join(peer.id.as_str())).collect();
    if policy.listen.is_some() {
        wanted.insert(spool.join(folder(Transport::Push)));
    }
    for kind in [Transport::Pull, Transport::Mqtt, Transport::Push].map(|kind| spool.join(folder(kind))) {
        if wanted.contains(&kind) {
            continue;
        }
        for entry in entries(&kind)? {
            if !wanted.contains(&entry) {
                remove(&entry)?;
            }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(work)
    }

    #[test]
    fn what_ends_or_panics_is_started_again_later_and_later_and_ends_with_its_keeper() {
        block_on(async {
            let starts = Arc::new(std::sync::Mutex::new(Vec::new()));
            let begin = Instant::now();
            let seen = Arc::clone(&starts);
            let start = move || {
                let mut starts = seen.lock().unwrap();
                starts.push(begin.elapsed().as_secs());
                let number = starts.len();
                async move { assert_ne!(number, 2, "meant to panic") }
            };
            let ran = tokio::time::timeout(Duration::from_secs(1_000), again_and_again("depot", start)).await;
            assert!(ran.is_err());
            assert_eq!(*starts.lock().unwrap(), [0, 2, 6, 14, 30, 62, 126, 254, 510, 810]);
        });
    }

    #[test]
    fn the_spool_of_a_peer_that_left_goes_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        let pins = serde_json::json!({ "current": "0".repeat(64) });
        let peer = |id, protocol, purpose| serde_json::json!({ "id": id, "protocol": protocol, "address": "10.0.0.1", "port": 1, "pins": pins, "purpose": purpose });
        let peers = [peer("depot", "https", "repository"), peer("board", "mqtts", "broker")];
        let policy: Policy = serde_json::from_value(serde_json::json!({ "peers": peers })).unwrap();
        assert!(clear(&spool, &policy).is_ok());
        for name in ["pull/depot/a", "pull/former/a", "mqtt/board/a", "mqtt/depot/a", "push/uploads"] {
            make(&spool.join(name)).unwrap();
        }
        clear(&spool, &policy).unwrap();
        let left = |name: &str| entries(&spool.join(name)).unwrap();
        assert_eq!(left("pull"), [spool.join("pull/depot")]);
        assert_eq!(left("mqtt"), [spool.join("mqtt/board")]);
        assert!(left("push").is_empty() && left("pull/depot").len() == 1);
    }
}
