//! An appliance's loop around the real transport.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use casemate_agent::boundary::connect::Door;
use casemate_agent::clock::WallClock;
use casemate_agent::identity::Identity;
use casemate_agent::transport::backend::{Arrived, Backend, News, Order, Source, Standing};
use casemate_agent::transport::mqtt;
use casemate_agent::transport::tls::Credentials;
use casemate_protocol::boundary::{Peer, PeerProtocol, Pins, Policy, Purpose};
use casemate_protocol::broker::CHUNK_LENGTH;
use casemate_protocol::bundle::appraisal::Device;
use casemate_protocol::code::Code;
use casemate_protocol::device::transport::TransportSettings;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::floors::{Floors, TimestampFloor};
use casemate_protocol::tuf::role::Version;
use casemate_tests::authority::{Subject, Wish};
use tokio::sync::{Notify, mpsc, watch};

use super::mosquitto::{HERE, Mosquitto, PORT};

/// A bundle of `count` chunks.
pub(super) fn content(count: u8) -> Vec<u8> {
    (0..count).flat_map(|index| vec![index; CHUNK_LENGTH as usize]).collect()
}

/// What the loop has.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) outbox: Vec<(u64, Vec<u8>)>,
    pub(super) delivered: Vec<u64>,
    pub(super) imported: Vec<Digest>,
    pub(super) noticed: Vec<Code>,
    pub(super) round_trips: usize,
}

pub(super) struct Stage {
    folder: tempfile::TempDir,
    peer: Peer,
    credentials: Arc<Credentials>,
    pub(super) news: watch::Sender<News>,
    kept: Arc<Mutex<Kept>>,
    changed: Arc<Notify>,
    running: tokio::task::JoinHandle<()>,
}

impl Stage {
    pub(super) fn new(mosquitto: &Mosquitto) -> Self {
        Self::pinned(mosquitto, mosquitto.broker.pin())
    }

    /// With the boundary pinning this key.
    pub(super) fn pinned(mosquitto: &Mosquitto, pin: Digest) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peer = Peer {
            id: "broker".parse().unwrap(),
            protocol: PeerProtocol::Mqtts,
            address: HERE.parse().unwrap(),
            port: PORT,
            pins: Pins { current: pin, next: None },
            purpose: Purpose::Broker,
            required: false,
        };
        let credentials = Arc::new(credentials(folder.path(), mosquitto));
        Self::on(folder, peer, credentials, Arc::default())
    }

    fn on(folder: tempfile::TempDir, peer: Peer, credentials: Arc<Credentials>, kept: Arc<Mutex<Kept>>) -> Self {
        let (orders, taken) = mpsc::channel(4);
        let changed = Arc::new(Notify::new());
        let news = watch::Sender::new(News::default());
        let backend = Backend {
            door: Door::new(Arc::new(Policy { peers: vec![peer.clone()], ..Policy::default() })),
            spool: folder.path().join("spool"),
            reserve: 1 << 20,
            orders,
            look: Arc::default(),
            news: news.subscribe(),
        };
        let served = serve(taken, kept.clone(), changed.clone());
        let (of, known) = (peer.clone(), watch::Sender::new(credentials.clone()));
        let running = tokio::spawn(async move {
            tokio::select! {
                () = mqtt::run(of, backend, known.subscribe()) => {}
                () = served => {}
            }
        });
        Self { folder, peer, credentials, news, kept, changed, running }
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// The appliance dies at once.
    pub(super) async fn ended(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    /// The appliance dies at once and starts again.
    pub(super) async fn killed(self) -> Self {
        self.running.abort();
        let _ = self.running.await;
        Self::on(self.folder, self.peer, self.credentials, self.kept)
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

fn credentials(folder: &Path, mosquitto: &Mosquitto) -> Credentials {
    let identity = Identity::create(&folder.join("identity")).unwrap();
    let public = identity.tls_key().public_key().unwrap().to_vec();
    let wish = Wish { subject: Subject::Public(public), ..Wish::of("casemate://LU/appliance/lux-001") };
    let material = mosquitto.authority.material(&mosquitto.authority.issue(&wish), &[]);
    Credentials {
        appliance: "lux-001".parse().unwrap(),
        jurisdiction: "LU".parse().unwrap(),
        groups: vec!["clinics".parse().unwrap()],
        settings: TransportSettings::default(),
        material,
        key: identity.tls_key(),
        clock: WallClock::system(),
        signed_at: None.into(),
    }
}

fn standing() -> Standing {
    let timestamp = TimestampFloor {
        version: Version::FIRST,
        content: Digest::of(b""),
        signers: Default::default(),
        snapshot: Version::FIRST,
    };
    let floors = Floors { timestamp: Some(timestamp), ..Floors::default() };
    Standing {
        stored: Stored { root: Vec::new(), floors, cached: Default::default() },
        device: Device { id: "lux-001".parse().unwrap(), jurisdiction: "LU".parse().unwrap(), keys: Digest::of(b"") },
        clock: WallClock::system().read(),
    }
}

async fn serve(mut orders: mpsc::Receiver<Order>, kept: Arc<Mutex<Kept>>, changed: Arc<Notify>) {
    while let Some(order) = orders.recv().await {
        let mut kept = kept.lock().unwrap();
        match order {
            Order::Standing { reply } => drop(reply.send(Ok(Box::new(standing())))),
            Order::Health { reply } => drop(reply.send(Ok(b"health\n".to_vec()))),
            Order::Receipts { after, most, reply } => {
                let rest = kept.outbox.iter().filter(|(number, _)| *number > after).take(most).cloned().collect();
                drop(reply.send(Ok(rest)));
            }
            Order::Delivered { sequence, .. } => {
                kept.outbox.retain(|(number, _)| *number != sequence);
                kept.delivered.push(sequence);
            }
            Order::Import { bundle: Source::File(path), reply, .. } => {
                kept.imported.push(Digest::of(&fs::read(path).unwrap()));
                drop(reply.send(Ok(Arrived { code: Code::Applied, receipt: None })));
            }
            Order::RoundTrip { .. } => kept.round_trips += 1,
            Order::Noticed { code, .. } => kept.noticed.push(code),
            other => panic!("{other:?}"),
        }
        drop(kept);
        changed.notify_waiters();
    }
}
