//! Where pulls are played: an address a boundary can name, an appliance's credentials, and a loop that answers orders.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use casemate_agent::boundary::connect::Door;
use casemate_agent::transport::backend::{Arrived, Backend, Held, News, Order, Source, Standing};
use casemate_agent::transport::pull::{Limits, run_within};
use casemate_agent::transport::tls::Credentials;
use casemate_protocol::boundary::Policy;
use casemate_protocol::bundle::appraisal::Audience;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::transport::TransportSettings;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;
use casemate_protocol::tuf::client::Stored;
use casemate_tests::authority::{Holder, Wish};
pub(crate) use casemate_tests::depot::HERE;
use casemate_tests::depot::{self, at_the_depot};
use casemate_tests::repository::{Site, clock, device};
use tokio::sync::{Notify, mpsc, watch};

use crate::judge::{Shelf, appraise};

/// Runs `work` where [`HERE`] is an address of this machine.
pub(crate) fn on_stage(work: impl AsyncFnOnce() + Send) {
    at_the_depot(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work());
    });
}

/// Short enough for a test, long enough for a busy machine.
pub(crate) fn limits() -> Limits {
    Limits { idle: Duration::from_secs(2), resume: Duration::from_secs(120), pause: Duration::from_millis(10) }
}

/// Who has certificates, `lux-001` among them.
pub(crate) struct Cast {
    pub(crate) depot: depot::Cast,
    pub(crate) appliance: Holder,
}

impl Cast {
    pub(crate) fn new() -> Self {
        let depot = depot::Cast::default();
        let appliance = depot.authority.issue(&Wish::of("casemate://LU/appliance/lux-001"));
        Self { depot, appliance }
    }

    pub(crate) fn credentials(&self, poll_seconds: u32) -> Arc<Credentials> {
        let material = self.depot.authority.material(&self.appliance, &[]);
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(self.appliance.key.clone()).into();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        Arc::new(Credentials {
            appliance: "lux-001".parse().unwrap(),
            jurisdiction: "LU".parse().unwrap(),
            groups: vec!["clinics".parse().unwrap()],
            settings: TransportSettings { poll_seconds, ..material.settings() },
            material,
            key,
            clock: casemate_tests::appliance::wall_clock(),
            signed_at: None.into(),
        })
    }
}

/// What the loop was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A bundle came, and this is what it is.
    Imported(Code),
    /// Something of the peer is to be remembered.
    Noticed(Code),
    /// The peer has answered.
    RoundTrip,
}

/// Holds up a reader: after so many bytes it says so, and waits.
pub(crate) struct Gate {
    pub(crate) after: usize,
    pub(crate) reached: std::sync::mpsc::Sender<()>,
    pub(crate) on: std::sync::mpsc::Receiver<()>,
}

/// What the loop knows.
pub(crate) struct Desk {
    pub(crate) stored: Stored,
    /// Whole objects, and verified parts, by digest.
    pub(crate) held: BTreeMap<Digest, Vec<u8>>,
    /// Archives as they came.
    pub(crate) archives: Vec<Vec<u8>>,
    pub(crate) gate: Option<Gate>,
}

/// A pull under way, and the loop it works for.
pub(crate) struct Play {
    pub(crate) desk: Arc<Mutex<Desk>>,
    pub(crate) credentials: watch::Sender<Arc<Credentials>>,
    said: mpsc::UnboundedReceiver<Said>,
    look: Arc<Notify>,
    _news: watch::Sender<News>,
    _spool: tempfile::TempDir,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Drop for Play {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Play {
    /// Starts to pull from `port` for `lux-001` of `site`, once an hour.
    pub(crate) fn start(cast: &Cast, site: &Site, port: u16, limits: Limits) -> Self {
        Self::start_with(cast, site, port, limits, cast.credentials(3600))
    }

    /// [`Self::start`] with these credentials.
    pub(crate) fn start_with(
        cast: &Cast,
        site: &Site,
        port: u16,
        limits: Limits,
        credentials: Arc<Credentials>,
    ) -> Self {
        let peer = cast.depot.peer(port);
        let policy = Policy { peers: vec![peer.clone()], ..Policy::default() };
        let (orders, received) = mpsc::channel(4);
        let (news, heard) = watch::channel(News::default());
        let (spool, look) = (tempfile::tempdir().unwrap(), Arc::new(Notify::new()));
        let backend = Backend {
            door: Door::new(Arc::new(policy)),
            spool: spool.path().to_owned(),
            reserve: 0,
            orders,
            look: look.clone(),
            news: heard,
        };
        let desk = Desk { stored: site.stored(), held: BTreeMap::new(), archives: Vec::new(), gate: None };
        let desk = Arc::new(Mutex::new(desk));
        let (credentials, taken) = watch::channel(credentials);
        let (tell, said) = mpsc::unbounded_channel();
        let tasks =
            [tokio::spawn(serve(desk.clone(), received, tell)), tokio::spawn(run_within(peer, backend, taken, limits))];
        Self { desk, credentials, said, look, _news: news, _spool: spool, tasks }
    }

    /// Has it look now.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// What the loop is asked next. Patient: it fails only where nothing would ever come.
    pub(crate) async fn next(&mut self) -> Said {
        tokio::time::timeout(Duration::from_secs(120), self.said.recv())
            .await
            .expect("the loop is asked something")
            .unwrap()
    }

    /// The next that is no round trip.
    pub(crate) async fn outcome(&mut self) -> Said {
        loop {
            match self.next().await {
                Said::RoundTrip => {}
                said => return said,
            }
        }
    }
}

/// Answers orders as the agent does, with the judge in memory.
async fn serve(desk: Arc<Mutex<Desk>>, mut orders: mpsc::Receiver<Order>, tell: mpsc::UnboundedSender<Said>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Standing { reply } => {
                let stored = desk.lock().unwrap().stored.clone();
                let _gone = reply.send(Ok(Box::new(Standing { stored, device: device("lux-001"), clock: clock() })));
            }
            Order::Held { object, reply, .. } => {
                let is_held = desk.lock().unwrap().held.contains_key(&object);
                let _gone = reply.send(if is_held { Held::Whole } else { Held::Parts(Vec::new()) });
            }
            Order::Import { bundle: Source::Stream(stream), transport, reply } => {
                assert_eq!(transport, Transport::Pull);
                let (desk, tell) = (desk.clone(), tell.clone());
                tokio::task::spawn_blocking(move || {
                    let code = import(&desk, stream);
                    tell.send(Said::Imported(code)).unwrap();
                    let _gone = reply.send(Ok(Arrived { code, receipt: None }));
                });
            }
            Order::Noticed { code, .. } => tell.send(Said::Noticed(code)).unwrap(),
            Order::RoundTrip { .. } => tell.send(Said::RoundTrip).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn import(desk: &Mutex<Desk>, mut stream: File) -> Code {
    let mut archive = Vec::new();
    let gate = desk.lock().unwrap().gate.take();
    if let Some(gate) = gate {
        archive.resize(gate.after, 0);
        stream.read_exact(&mut archive).unwrap();
        gate.reached.send(()).unwrap();
        gate.on.recv().unwrap();
    }
    stream.read_to_end(&mut archive).unwrap();
    let mut desk = desk.lock().unwrap();
    let held = desk.held.iter().map(|(digest, content)| (*digest, content.len() as u64)).collect();
    let mut shelf = Shelf { held, ..Shelf::default() };
    let audience = Audience::Appliance(device("lux-001"));
    let verdict = appraise(&archive, desk.stored.clone(), clock(), audience, &mut shelf)
        .and_then(casemate_protocol::bundle::appraisal::Appraisal::finish);
    desk.archives.push(archive);
    // Verified objects stay, whatever becomes of the bundle.
    desk.held.append(&mut shelf.staged);
    match verdict {
        Err(refusal) => refusal.code(),
        Ok(verdict) => {
            desk.stored.floors = verdict.trust.floors;
            desk.stored.cached = verdict.trust.metadata;
            if let Some(root) = verdict.trust.roots.last() {
                desk.stored.root.clone_from(root);
            }
            let codes =
                verdict.addressee.owners.iter().filter_map(|owner| owner.outcome.as_ref().err().map(Explain::code));
            codes.max_by_key(|code| code.class()).unwrap_or(Code::Applied)
        }
    }
}
