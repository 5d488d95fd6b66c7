//! An enrolled appliance that listens.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use casemate_agent::clock::WallClock;
use casemate_agent::identity::Identity;
use casemate_agent::local_api::{Remote, Spool};
use casemate_agent::outbox;
use casemate_agent::transport::push::{Limits, Listener, News};
use casemate_agent::transport::tls::Credentials;
use casemate_protocol::boundary::Listen;
use casemate_protocol::device::transport::{TransportMaterial, TransportSettings};
use casemate_protocol::tuf::time::UtcTime;
use casemate_tests::appliance::Appliance;
use casemate_tests::authority::{Algorithm, Authority, Holder, Subject, Wish};
use casemate_tests::repository::{Site, clock, signed_at};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

use crate::first_bundle::enrolled;

/// The appliance, the site that governs it, and the authority whose certificates open it.
pub(super) struct Station {
    pub(super) appliance: Arc<Appliance>,
    pub(super) site: Site,
    pub(super) authority: Authority,
    pub(super) own: Holder,
    pub(super) port: u16,
    clock: Arc<AtomicU64>,
    credentials: watch::Sender<Arc<Credentials>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

/// What is asked of an appliance, and what came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) said: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Station {
    pub(super) fn open() -> Self {
        Self::with(Limits::default(), 0)
    }

    /// One with limits of its own, of which `reserve` bytes of the disk stay free.
    pub(super) fn with(limits: Limits, reserve: u64) -> Self {
        let (appliance, site) = enrolled();
        let authority = Authority::with(Algorithm::Ed25519, signed_at().unix());
        let identity = Identity::open(&appliance.path("state/identity")).unwrap().unwrap();
        let public = identity.tls_key().public_key().unwrap().as_ref().to_vec();
        let wish = Wish { subject: Subject::Public(public), ..Wish::of("casemate://LU/appliance/lux-001") };
        let own = authority.issue(&wish);
        let time = Arc::new(AtomicU64::new(signed_at().unix()));
        let now = time.clone();
        let credentials = Credentials {
            appliance: "lux-001".parse().unwrap(),
            jurisdiction: "LU".parse().unwrap(),
            groups: Vec::new(),
            settings: TransportSettings::default(),
            material: authority.material(&own, &[]),
            key: identity.tls_key(),
            clock: WallClock::new(move || UtcTime::from_unix(now.load(Ordering::SeqCst)), clock().build),
            signed_at: Some(signed_at()).into(),
        };
        let credentials = watch::Sender::new(Arc::new(credentials));
        let (stop, stopped) = oneshot::channel();
        let (told, opened) = std::sync::mpsc::channel();
        let appliance = Arc::new(appliance);
        let (hosted, receiver) = (appliance.clone(), credentials.subscribe());
        let serving = std::thread::spawn(move || {
            let serve = hosted.host(async |agent| {
                let spool = Spool::open(&hosted.path("state/push"), reserve).unwrap();
                let remote = Remote::new(agent.calls(), agent.hub(), spool, outbox::answer);
                let on_stream = move |stream, name| {
                    let remote = remote.clone();
                    async move { remote.serve(stream, name).await }
                };
                let from = vec!["10.20.0.0/16".parse().unwrap()];
                let listener = Listener::new(Listen { port: 0, from }, limits);
                tokio::select! {
                    () = listener.serve(receiver, on_stream, |news| if let News::Opened(port) = news { told.send(port).unwrap() }) => {}
                    _ = stopped => {}
                }
            });
            serve.unwrap();
        });
        let port = opened.recv().unwrap();
        let (stop, serving) = (Some(stop), Some(serving));
        Self { appliance, site, authority, own, port, clock: time, credentials, stop, serving }
    }

    /// Connects, and says nothing.
    pub(super) fn knock(&self) -> std::io::Result<TcpStream> {
        knock(([127, 0, 0, 1], self.port).into())
    }

    /// Moves the agent's wall clock.
    pub(super) fn set_clock(&self, days: i64) {
        let seconds = i64::try_from(signed_at().unix()).unwrap() + days * 86_400;
        self.clock.store(u64::try_from(seconds).unwrap(), Ordering::SeqCst);
    }

    /// Has other certificates count from now on, as a bundle would.
    pub(super) fn renew(&self, change: impl FnOnce(&mut TransportMaterial)) {
        self.credentials.send_modify(|credentials| {
            let mut changed = Credentials::clone(credentials);
            change(&mut changed.material);
            *credentials = Arc::new(changed);
        });
    }

    /// A file of the appliance's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.appliance.path(name)
    }

    /// Somebody of this kind, with a certificate that counts.
    pub(super) fn client(&self, kind: &str) -> Holder {
        self.authority.issue(&Wish::of(&format!("casemate://LU/{kind}/somebody")))
    }

    /// `ADDRESS`, `AGENT`, `CA`, `CERT` and `KEY`, as the page names them, for whoever holds `holder`.
    pub(super) fn environment(&self, holder: &Holder) -> Vec<(&'static str, String)> {
        let ca = self.path("ca.pem");
        std::fs::write(&ca, self.authority.anchor_pem()).unwrap();
        let files = holder.write(&self.path(""), &format!("client-{:02x}{:02x}", holder.serial[1], holder.serial[2]));
        let text = |path: &Path| path.display().to_string();
        vec![
            ("ADDRESS", format!("127.0.0.1:{}", self.port)),
            ("AGENT", "lux-001".into()),
            ("CA", text(&ca)),
            ("CERT", text(&files.certificate)),
            ("KEY", text(&files.key)),
        ]
    }

    /// Runs a shell command with [`Self::environment`].
    pub(super) fn shell(&self, holder: &Holder, command: &str) -> Output {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", command]).current_dir(self.path(""));
        bash.envs(self.environment(holder)).output().unwrap()
    }

    /// Asks with curl; `arguments` end with the path.
    pub(super) fn curl(&self, holder: &Holder, arguments: &str) -> Reply {
        let (options, path) = arguments.rsplit_once(' ').unwrap_or(("", arguments));
        let command = format!(
            "curl -sS --max-time 60 -w '\\n%{{http_code}}' --connect-to \"::$ADDRESS\" --cacert \"$CA\" --cert \"$CERT\" \
             --key \"$KEY\" {options} \"https://$AGENT{path}\" || true"
        );
        let output = self.shell(holder, &command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Reply { status: status.parse().unwrap(), body: body.into(), said }
    }
}

/// Connects to `address` on this machine.
pub(super) fn knock(address: SocketAddr) -> std::io::Result<TcpStream> {
    #[expect(clippy::disallowed_methods, reason = "a client of the test")]
    TcpStream::connect(address)
}

impl Drop for Station {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.serving.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}
