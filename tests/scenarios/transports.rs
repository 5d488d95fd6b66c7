//! The whole daemon between a real nginx, a real Mosquitto and curl: whichever way a bundle comes, it is the same.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use casemate_agent::identity::Identity;
use casemate_protocol::boundary::{Listen, Peer, PeerProtocol, Policy, Purpose};
use casemate_protocol::broker::{Announce, CHUNK_LENGTH, Chunked};
use casemate_protocol::code::Code;
use casemate_protocol::device::transport::TransportSettings;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{JournalPosition, Receipt, Transport};
use casemate_protocol::tuf::role::Version;
use casemate_tests::appliance::Appliance;
use casemate_tests::authority::{Authority, Subject, Wish};
use casemate_tests::depot::{Cast, HERE, Nginx, at_the_depot, free_port};
use casemate_tests::repository::{Bundle, Site, signed_at};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::AGENT;

pub(crate) const HOMESERVER: &str = "groups/clinics/synapse/homeserver.yaml";
pub(crate) const FILE: &str = "synapse/homeserver.yaml";
pub(crate) const APRIL: &[u8] = b"server_name: april.example\n";
const PATIENCE: Duration = Duration::from_secs(90);

/// A real Mosquitto in a folder, until dropped.
pub(crate) struct Mosquitto<'a> {
    folder: &'a Path,
    port: u16,
    process: Child,
}

impl<'a> Mosquitto<'a> {
    pub(crate) fn start(cast: &Cast, folder: &'a Path, port: u16) -> Self {
        let _broker = cast.server.write(folder, "broker");
        let _publisher = cast.authority.issue(&wide("casemate://LU/publisher/publisher-1")).write(folder, "publisher");
        fs::write(folder.join("authority.pem"), cast.authority.anchor_pem()).unwrap();
        let here = folder.display();
        let config = format!(
            "user root\nlog_dest none\nlistener {port} {HERE}\nprotocol mqtt\nallow_anonymous false\n\
             require_certificate true\nuse_identity_as_username true\ntls_version tlsv1.3\n\
             cafile {here}/authority.pem\ncertfile {here}/broker.pem\nkeyfile {here}/broker.key.pem\n"
        );
        fs::write(folder.join("mosquitto.conf"), config).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        let command = command.arg("-c").arg(folder.join("mosquitto.conf")).stdin(Stdio::null());
        let process = command.spawn().expect("mosquitto is installed: apt-get install mosquitto mosquitto-clients");
        let mosquitto = Self { folder, port, process };
        let until = Instant::now() + PATIENCE;
        while !mosquitto.publish("casemate/v1/tried", &folder.join("mosquitto.conf")) {
            assert!(Instant::now() < until, "mosquitto does not start");
        }
        mosquitto
    }

    fn publish(&self, topic: &str, file: &Path) -> bool {
        let place = |name: &str| self.folder.join(name);
        let mut command = Command::new("mosquitto_pub");
        command.args(["-V", "5", "-q", "1", "-r", "-h", HERE, "-p", &self.port.to_string(), "--insecure", "-t", topic]);
        command.arg("--cafile").arg(place("authority.pem")).arg("--cert").arg(place("publisher.pem"));
        command.arg("--key").arg(place("publisher.key.pem")).arg("-f").arg(file);
        command.stderr(Stdio::null()).status().unwrap().success()
    }

    fn leave(&self, tree: &str, bundle: &[u8], timestamp: u64) {
        let (whole, file) = (Digest::of(bundle), self.folder.join("payload"));
        let chunks: Vec<&[u8]> = bundle.chunks(usize::try_from(CHUNK_LENGTH).unwrap()).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            fs::write(&file, chunk).unwrap();
            assert!(self.publish(&format!("casemate/v1/{tree}/bundles/{whole}/{index}"), &file));
        }
        let digests = chunks.iter().map(|chunk| Digest::of(chunk)).collect();
        let version = Version::new(timestamp).unwrap();
        let announce = Chunked::of(whole, bundle.len() as u64, version, digests).unwrap();
        fs::write(&file, Announce::Chunked(announce).encode()).unwrap();
        assert!(self.publish(&format!("casemate/v1/{tree}/bundles/announce"), &file));
    }
}

impl Drop for Mosquitto<'_> {
    fn drop(&mut self) {
        let _gone = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// Good for the clock of this machine and for that of the sample repositories.
fn wide(uri: &str) -> Wish {
    Wish { days: -2_000..2_000, ..Wish::of(uri) }
}

pub(crate) fn cast() -> Cast {
    let authority = Authority::new();
    let server = authority.issue(&Wish { days: -2_000..2_000, ..Wish::service("repository", HERE) });
    Cast { authority, server }
}

/// The ports of one stage.
pub(crate) struct Ports {
    pub(crate) repository: u16,
    pub(crate) broker: u16,
    pub(crate) listener: u16,
}

/// An appliance whose boundary names a repository, a broker and who may connect, and the site it belongs to.
pub(crate) fn connected(cast: &Cast, ports: &Ports) -> (Appliance, Site) {
    let broker = Peer {
        id: "broker".parse().unwrap(),
        protocol: PeerProtocol::Mqtts,
        purpose: Purpose::Broker,
        ..cast.peer(ports.broker)
    };
    let listen = Listen { port: ports.listener, from: vec!["10.20.0.0/16".parse().unwrap()] };
    let peers = vec![cast.peer(ports.repository), broker];
    let mut site = Site::sample();
    site.fence(Policy { peers, listen: Some(listen), ..Policy::default() });
    let appliance = Appliance::new(AGENT);
    appliance.enrol(&mut site, "lux-001");
    let identity = Identity::open(&appliance.path("state/identity")).unwrap().unwrap();
    let public = identity.tls_key().public_key().unwrap().as_ref().to_vec();
    let own =
        cast.authority.issue(&Wish { subject: Subject::Public(public), ..wide("casemate://LU/appliance/lux-001") });
    let settings = TransportSettings { poll_seconds: 10, ..cast.authority.material(&own, &[]).settings() };
    site.assignments.get_mut(&"lux-001".parse().unwrap()).unwrap().transport = Some(settings);
    let report = appliance.import_one(&site.issue().bundle().bytes());
    assert_eq!(report.code, Code::Applied, "{report:?}");
    (appliance, site)
}

/// The same device once more.
fn twin(appliance: &Appliance) -> Appliance {
    let twin = Appliance::new(AGENT);
    for name in ["state", "keys"] {
        let copied = Command::new("cp").arg("-a").arg(appliance.path(name)).arg(twin.path(name)).status().unwrap();
        assert!(copied.success());
    }
    twin
}

/// Runs the real daemon, confined as ever, until `reached`; then it ends in order.
pub(crate) fn until(appliance: &Appliance, reached: impl Fn() -> bool) {
    let log = fs::File::create(appliance.path("log")).unwrap();
    let mut daemon = appliance.command(&["run"]).stdin(Stdio::null()).stderr(log).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    let said = || fs::read_to_string(appliance.path("log")).unwrap();
    while !reached() {
        assert!(daemon.try_wait().unwrap().is_none(), "{}", said());
        if Instant::now() > end {
            let _gone = daemon.kill().and_then(|()| daemon.wait());
            panic!("{}", said());
        }
        std::thread::yield_now();
    }
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success(), "{}", said());
}

fn until_april(appliance: &Appliance) {
    until(appliance, || appliance.current(HOMESERVER).as_deref() == Some(APRIL));
}

/// How many certificates were not let in today, as the running daemon's health says.
fn turned_away(appliance: &Appliance) -> u64 {
    // Without a daemon the command would take its place.
    if !appliance.path("socket").exists() {
        return 0;
    }
    let told = appliance.command(&["health", "--json"]).output().unwrap().stdout;
    let health: serde_json::Value = serde_json::from_slice(&told).unwrap_or_default();
    health["transports"]["push"]["noticed"].as_u64().unwrap_or(0)
}

/// What the last receipt says but for how the bundle came and when, after the daemon is gone.
fn said(appliance: &Appliance) -> (Receipt, Option<Transport>) {
    let mut receipt = appliance.receipts().pop().unwrap().predicate;
    let transport = receipt.transport.take();
    receipt.time = signed_at();
    receipt.journal = JournalPosition { size: 0, root: Digest::of(b"") };
    (receipt, transport)
}

#[test]
fn the_same_bundle_by_stick_push_pull_and_mqtt_gives_the_same_generation_and_the_same_receipt() {
    at_the_depot(|| {
        let cast = cast();
        let nginx = Nginx::start(&cast);
        let ports = Ports { repository: nginx.port, broker: free_port(), listener: free_port() };
        let (first, mut site) = connected(&cast, &ports);
        site.reissue("group.clinics", FILE, APRIL);
        let issued = site.issue();
        let bytes = Bundle::bytes(&issued.bundle());
        let [push, pull, mqtt] = [(); 3].map(|()| twin(&first));

        assert_eq!(first.import_one(&bytes).code, Code::Applied);
        let (expected, transport) = said(&first);
        assert_eq!((expected.code, transport), (Code::Applied, Some(Transport::Stick)));

        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("april.casemate");
        fs::write(&archive, &bytes).unwrap();
        let publisher = cast.authority.issue(&wide("casemate://LU/publisher/publisher-1")).write(folder.path(), "curl");
        let _written = publisher;
        let url = format!("https://{HERE}:{}/v1/bundles", ports.listener);
        let strange = folder.path().join("strange");
        fs::create_dir(&strange).unwrap();
        let _stranger = Authority::new().issue(&wide("casemate://LU/publisher/publisher-1")).write(&strange, "curl");
        let mut stranger = tokio_curl(&strange, &archive, &url);
        until(&push, || turned_away(&push) == 1);
        let _done = stranger.kill().and_then(|()| stranger.wait());
        let mut curl = tokio_curl(folder.path(), &archive, &url);
        until(&push, || push.current(HOMESERVER).as_deref() == Some(APRIL) && turned_away(&push) == 1);
        let _done = curl.kill().and_then(|()| curl.wait());
        assert_eq!(said(&push), (expected.clone(), Some(Transport::Push)));

        {
            let mosquitto = Mosquitto::start(&cast, folder.path(), ports.broker);
            mosquitto.leave("groups/clinics", &bytes, 2);
            until_april(&mqtt);
        }
        assert_eq!(said(&mqtt), (expected.clone(), Some(Transport::Mqtt)));

        issued.publish(&nginx.tree());
        until_april(&pull);
        assert_eq!(said(&pull), (expected, Some(Transport::Pull)));

        let generations = [&first, &push, &pull, &mqtt].map(|appliance| appliance.status().owners);
        assert!(generations.windows(2).all(|pair| pair[0].len() == pair[1].len()));
        for owners in &generations {
            let currents = |owners: &[casemate_agent::local_api::answer::OwnerStatus]| {
                owners.iter().map(|owner| (owner.id.clone(), owner.current.clone())).collect::<Vec<_>>()
            };
            assert_eq!(currents(owners), currents(&generations[0]));
        }
    });
}

/// Runs the daemon until April is committed, as `status` says.
fn until_committed(appliance: &Appliance) {
    until(appliance, || {
        // Without a daemon the command would take its place.
        if !appliance.path("socket").exists() {
            return false;
        }
        let output = appliance.command(&["status", "--json"]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let owners = report["owners"].as_array().cloned().unwrap_or_default();
        appliance.current(HOMESERVER).as_deref() == Some(APRIL)
            && owners.iter().all(|owner| owner["state"] == "committed")
    });
}

#[test]
fn a_generation_that_waits_for_the_control_plane_is_confirmed_by_an_answer_and_undone_without_one() {
    at_the_depot(|| {
        let cast = cast();
        let nginx = Nginx::start(&cast);
        let ports = Ports { repository: nginx.port, broker: free_port(), listener: free_port() };
        let (appliance, mut site) = connected(&cast, &ports);
        site.owner("group.clinics").apply.confirm = vec!["control-plane".into()];
        site.reissue("group.clinics", FILE, APRIL);
        let issued = site.issue();
        appliance.carry(&[("april.casemate", &issued.bundle().bytes())]);
        let alone = twin(&appliance);
        issued.publish(&nginx.tree());
        until_committed(&appliance);
        let peers = appliance.receipts().pop().unwrap().predicate;
        assert_eq!(peers.code, Code::Applied);

        // One without a daemon talks to nobody.
        assert_eq!(alone.import_one(&issued.bundle().bytes()).code, Code::Probation);
        alone.pass(601);
        alone.host(async |agent| agent.look_now().await).unwrap();
        assert_ne!(alone.current(HOMESERVER).as_deref(), Some(APRIL));
        let receipt = alone.receipts().pop().unwrap().predicate;
        assert_eq!(receipt.code, Code::ControlPlaneUnreached, "{receipt:?}");
    });
}

/// curl, asking until somebody listens.
fn tokio_curl(folder: &Path, archive: &Path, url: &str) -> Child {
    let mut command = Command::new("curl");
    command.args(["-sk", "--retry", "60", "--retry-delay", "1", "--retry-connrefused", "--max-time", "60"]);
    command.arg("--cert").arg(folder.join("curl.pem")).arg("--key").arg(folder.join("curl.key.pem"));
    command.args(["-H", "Content-Type: application/vnd.casemate.bundle", "--data-binary"]);
    command.arg(format!("@{}", archive.display())).arg(url);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("curl is installed")
}
