//! A real Mosquitto with the configuration and the access list of docs/mqtt, and its clients.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use casemate_protocol::broker::{Announce, CHUNK_LENGTH, Chunked};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::Version;
use casemate_tests::authority::{Authority, Holder, Wish};
use casemate_tests::namespace::{in_namespace, run};

/// The broker's address: one a boundary can name.
pub(super) const HERE: &str = "192.0.2.1";
/// Its port, in a namespace of its own.
pub(super) const PORT: u16 = 8883;
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` in a network namespace of its own that has the broker's address.
pub(super) fn on_stage(work: impl AsyncFnOnce() + Send) {
    let staged = || {
        let _ = run("ip", &["link", "set", "lo", "up"]);
        let _ = run("ip", &["addr", "add", &format!("{HERE}/32"), "dev", "lo"]);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
    };
    let _ = in_namespace(staged);
}

pub(super) struct Mosquitto {
    pub(super) folder: tempfile::TempDir,
    pub(super) authority: Authority,
    pub(super) broker: Holder,
    child: Child,
    /// How much of the log belongs to earlier runs.
    seen: usize,
}

impl Mosquitto {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let authority = Authority::new();
        let broker = authority.issue(&Wish::service("broker", HERE));
        let _ = broker.write(path, "broker");
        fs::write(path.join("authority.pem"), authority.anchor_pem()).unwrap();
        fs::write(path.join("crl.pem"), authority.crl_pem(&[])).unwrap();
        for (uri, name) in [
            ("publisher/publisher-1", "publisher-1"),
            ("service/control-plane", "control-plane"),
            ("appliance/lux-002", "lux-002"),
        ] {
            let _ = authority.issue(&Wish::of(&format!("casemate://LU/{uri}"))).write(path, name);
        }
        fs::create_dir(path.join("db")).unwrap();
        fs::write(path.join("acl"), include_str!("../../../docs/mqtt/acl")).unwrap();
        let place = format!("{}/", path.display());
        let config = include_str!("../../../docs/mqtt/mosquitto.conf")
            .replace("/var/lib/mosquitto/", &format!("{place}db/"))
            .replace("/etc/mosquitto/", &place)
            .replace("listener 8883", &format!("listener {PORT} {HERE}"));
        // It would become another user, who may not read the files of this one.
        fs::write(path.join("mosquitto.conf"), config + "user root\nlog_type all\nlog_dest stderr\n").unwrap();
        let child = spawn(path);
        let mosquitto = Self { folder, authority, broker, child, seen: 0 };
        mosquitto.listening();
        mosquitto
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn listening(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.log()[self.seen..].contains(" running") {
            assert!(Instant::now() < until, "mosquitto does not start: {}", self.log());
            std::thread::yield_now();
        }
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path().join("log")).unwrap()).into_owned()
    }

    /// Until this run of the broker has logged `text`.
    pub(super) async fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log()[self.seen..].contains(text) {
            assert!(Instant::now() < until, "{text:?} not in {}", self.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Writes what it holds to disk, as it does from time to time.
    pub(super) fn save(&self) {
        let store = self.path().join("db/mosquitto.db");
        let before = fs::metadata(&store).map_or(0, |found| found.len());
        let id = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGUSR1).unwrap();
        let until = Instant::now() + PATIENCE;
        while fs::metadata(&store).map_or(0, |found| found.len()) == before {
            assert!(Instant::now() < until, "nothing is saved");
            std::thread::yield_now();
        }
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.seen = self.log().len();
    }

    pub(super) fn restart(&mut self) {
        self.child = spawn(self.path());
        self.listening();
    }

    fn client(&self, program: &str, name: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", "5", "-q", "1", "-h", HERE, "-p", &PORT.to_string(), "--insecure"]);
        let file = |suffix: &str| self.path().join(format!("{name}{suffix}"));
        command.arg("--cafile").arg(self.path().join("authority.pem"));
        command.arg("--cert").arg(file(".pem")).arg("--key").arg(file(".key.pem"));
        command
    }

    fn publish(&self, topic: &str, file: &Path) {
        let mut command = self.client("mosquitto_pub", "publisher-1");
        command.args(["-r", "-t", topic, "-D", "publish", "message-expiry-interval", "3600", "-f"]).arg(file);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Leaves a bundle in a tree, as `casemate pack --mqtt` does.
    pub(super) fn leave(&self, tree: &str, bundle: &[u8], timestamp: u64) {
        let whole = Digest::of(bundle);
        let file = self.path().join("payload");
        let mut digests = Vec::new();
        for (index, chunk) in bundle.chunks(CHUNK_LENGTH as usize).enumerate() {
            digests.push(Digest::of(chunk));
            fs::write(&file, chunk).unwrap();
            self.publish(&format!("casemate/v1/{tree}/bundles/{whole}/{index}"), &file);
        }
        let version = Version::new(timestamp).unwrap();
        let announced = Chunked::of(whole, bundle.len() as u64, version, digests).unwrap();
        fs::write(&file, Announce::Chunked(announced).encode()).unwrap();
        self.publish(&format!("casemate/v1/{tree}/bundles/announce"), &file);
    }

    /// Asks `appliance` for its health.
    pub(super) fn ask(&self, appliance: &str, answer: &str, correlation: &str) {
        let mut command = self.client("mosquitto_pub", "control-plane");
        command.args(["-i", "asking", "-t", &format!("casemate/v1/appliances/{appliance}/requests")]);
        command.args(["-m", "{\"ask\":\"health\"}", "-D", "publish", "response-topic", answer]);
        let output = command.args(["-D", "publish", "correlation-data", correlation]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// `name` subscribes until it has `count` messages.
    pub(super) fn subscribe(&self, name: &str, filter: &str, count: usize) -> Subscriber {
        let mut command = self.client("mosquitto_sub", name);
        let form = if filter.contains("/responses/") { "%t %D %p" } else { "%t %p" };
        command.args(["-i", name, "-t", filter, "-C", &count.to_string(), "-F", form]).stdout(Stdio::piped());
        Subscriber(command.spawn().unwrap())
    }

    /// How often each chunk was sent to the appliance.
    pub(super) fn chunks_sent(&self) -> BTreeMap<String, usize> {
        let mut sent = BTreeMap::new();
        for line in self.log().lines().filter(|line| line.contains("Sending PUBLISH to lux-001")) {
            if let Some(topic) = line.split('\'').nth(1)
                && !topic.ends_with("announce")
            {
                *sent.entry(topic.to_owned()).or_default() += 1;
            }
        }
        sent
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let program = ["/usr/sbin/mosquitto", "mosquitto"].map(PathBuf::from);
    let program = program.iter().find(|path| path.is_absolute() && path.exists()).unwrap_or(&program[1]);
    let command = Command::new(program).arg("-c").arg(folder.join("mosquitto.conf")).stderr(log).spawn();
    command.expect("Mosquitto is missing: apt-get install mosquitto mosquitto-clients")
}

/// A mosquitto_sub that runs.
pub(super) struct Subscriber(Child);

impl Subscriber {
    /// What it got, once it has all.
    pub(super) async fn lines(mut self) -> Vec<String> {
        let mut said = self.0.stdout.take().unwrap();
        // On a thread of its own: what it waits for may be this one's to do.
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            said.read_to_string(&mut text).unwrap();
            text
        });
        let text = read.await.unwrap();
        self.0.wait().unwrap();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Whether it has got nothing so far.
    pub(super) async fn nothing(mut self) -> bool {
        let running = self.0.try_wait().unwrap().is_none();
        self.0.kill().unwrap();
        running && self.lines().await.is_empty()
    }
}
