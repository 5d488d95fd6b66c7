//! An appliance's loop: answers orders, and remembers them.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use casemate_protocol::boundary::Policy;
use casemate_protocol::code::Code;
use casemate_protocol::device::transport::{TransportMaterial, TransportSettings};
use tokio::sync::{Notify, mpsc, watch};

use super::super::link;
use super::broker::Broker;
use crate::boundary::connect::Door;
use crate::clock::WallClock;
use crate::identity::Identity;
use crate::transport::backend::{Arrived, Backend, News, Order, Source};
use crate::transport::tls::Credentials;

/// What the loop has.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) outbox: Vec<(u64, Vec<u8>)>,
    pub(super) delivered: Vec<u64>,
    pub(super) imported: Vec<Vec<u8>>,
    pub(super) noticed: Vec<Code>,
    pub(super) round_trips: usize,
    pub(super) health_asked: usize,
    /// What an import comes to.
    pub(super) verdict: Option<Code>,
}

/// One appliance with a transport that runs.
pub(super) struct Stage {
    pub(super) folder: tempfile::TempDir,
    pub(super) broker: Broker,
    pub(super) look: Arc<Notify>,
    pub(super) news: watch::Sender<News>,
    pub(super) changed: Arc<Notify>,
    kept: Arc<Mutex<Kept>>,
    running: tokio::task::JoinHandle<()>,
}

impl Stage {
    pub(super) fn new(broker: &Broker) -> Self {
        Self::with(broker, Kept::default())
    }

    pub(super) fn with(broker: &Broker, kept: Kept) -> Self {
        Self::on(tempfile::tempdir().unwrap(), broker, Arc::new(Mutex::new(kept)))
    }

    fn on(folder: tempfile::TempDir, broker: &Broker, kept: Arc<Mutex<Kept>>) -> Self {
        let (orders, taken) = mpsc::channel(4);
        let changed = Arc::new(Notify::new());
        let news = watch::Sender::new(News::default());
        let look = Arc::new(Notify::new());
        let backend = Backend {
            door: Door::new(Arc::new(Policy::default())),
            spool: folder.path().join("spool"),
            reserve: 0,
            orders,
            look: look.clone(),
            news: news.subscribe(),
        };
        let credentials = watch::Sender::new(Arc::new(credentials(folder.path())));
        let served = serve(taken, kept.clone(), changed.clone());
        let (broker_of, receiver) = (broker.clone(), credentials.subscribe());
        let running = tokio::spawn(async move {
            // Held so that nobody takes a closed channel for news.
            let _credentials = credentials;
            tokio::select! {
                () = link::keep(broker_of, "broker".parse().unwrap(), backend, receiver) => {}
                () = served => {}
            }
        });
        Self { folder, broker: broker.clone(), look, news, changed, kept, running }
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// The appliance dies at once and starts again.
    pub(super) async fn killed(self) -> Self {
        self.running.abort();
        let _ = self.running.await;
        Self::on(self.folder, &self.broker, self.kept)
    }

    /// Until `holds`, which only orders can bring about.
    pub(super) async fn until(&self, holds: impl Fn(&Kept) -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds(&self.kept()) {
                return;
            }
            changed.await;
        }
    }
}

fn credentials(folder: &Path) -> Credentials {
    let path = folder.join("identity");
    let identity = Identity::open(&path).unwrap().unwrap_or_else(|| Identity::create(&path).unwrap());
    Credentials {
        appliance: "clinic-7".parse().unwrap(),
        jurisdiction: "LU".parse().unwrap(),
        groups: vec!["clinics".parse().unwrap()],
        settings: TransportSettings::default(),
        material: TransportMaterial::default(),
        key: identity.tls_key(),
        clock: WallClock::system(),
        signed_at: None.into(),
    }
}

async fn serve(mut orders: mpsc::Receiver<Order>, kept: Arc<Mutex<Kept>>, changed: Arc<Notify>) {
    while let Some(order) = orders.recv().await {
        let mut kept = kept.lock().unwrap();
        match order {
            Order::Health { reply } => {
                kept.health_asked += 1;
                drop(reply.send(Ok(b"health\n".to_vec())));
            }
            Order::Receipts { after, most, reply } => {
                let rest = kept.outbox.iter().filter(|(number, _)| *number > after).take(most).cloned().collect();
                drop(reply.send(Ok(rest)));
            }
            Order::Delivered { sequence, .. } => {
                kept.outbox.retain(|(number, _)| *number != sequence);
                kept.delivered.push(sequence);
            }
            Order::Import { bundle: Source::File(path), reply, .. } => {
                kept.imported.push(fs::read(path).unwrap());
                let code = kept.verdict.unwrap_or(Code::Applied);
                drop(reply.send(Ok(Arrived { code, receipt: None })));
            }
            Order::RoundTrip { .. } => kept.round_trips += 1,
            Order::Noticed { code, .. } => kept.noticed.push(code),
            other => panic!("{other:?}"),
        }
        drop(kept);
        changed.notify_waiters();
    }
}
