//! An appliance on a table: its own folder, its own clock, the agent hosted in this process or started as a program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use casemate_agent::clock::WallClock;
use casemate_agent::config::Config;
use casemate_agent::exit::Failure;
use casemate_agent::local_api::answer::{
    ConfirmedEnrolment, ImportReport, PendingEnrolment, ReceiptList, StatusReport,
};
use casemate_agent::local_api::call::{Answer, Call, ImportSource};
use casemate_agent::runtime::Agent;
use casemate_engine::time::{BootId, Moment};
use casemate_protocol::canonical;
use casemate_protocol::device::enrolment::{DeviceKeys, EnrolmentGrant, EnrolmentRequest};
use casemate_protocol::evidence::health::HealthReport;
use casemate_protocol::evidence::receipt::{self, Statement, Transport};
use casemate_protocol::tuf::time::UtcTime;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::repository::{Site, signed_at};

/// The clock of the sample repositories: what the program under test believes.
#[must_use]
pub fn wall_clock() -> WallClock {
    let clock = crate::repository::clock();
    WallClock::new(signed_at, clock.build)
}

/// An appliance.
pub struct Appliance {
    folder: TempDir,
    clock: Arc<AtomicU64>,
    uptime: Arc<AtomicU64>,
    boot: Arc<AtomicU64>,
    program: PathBuf,
}

impl Appliance {
    /// A new one; `program` is the agent's executable, which is also started as the sandboxed reader.
    ///
    /// # Panics
    /// There is no room for its folder.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir_all(path.join("stick/in")).unwrap();
        let [state, socket, stick] = ["state", "socket", "stick"].map(|name| path.join(name));
        let text = format!(
            "state = {state:?}\nsocket = {socket:?}\nstick = {stick:?}\nreserve = \"1 MiB\"\nenforcement = \"process-only\"\n"
        );
        std::fs::write(path.join("agent.toml"), text).unwrap();
        let [clock, uptime, boot] = [signed_at().unix(), 1_000, 1].map(|value| Arc::new(AtomicU64::new(value)));
        Self { folder, clock, uptime, boot, program: program.into() }
    }

    /// Where `name` stands in the appliance's folder: `state`, `stick`, `agent.toml`, …
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets the wall clock of the hosted agent.
    pub fn set_clock(&self, time: UtcTime) {
        self.clock.store(time.unix(), Ordering::SeqCst);
    }

    /// Lets time pass for the hosted agent, by both clocks.
    pub fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
        self.uptime.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Starts the machine anew, as far as the hosted agent can tell.
    pub fn reboot(&self) {
        self.boot.fetch_add(1, Ordering::SeqCst);
        self.uptime.store(20, Ordering::SeqCst);
    }

    /// The configuration of the hosted agent.
    ///
    /// # Panics
    /// The configuration file is wrong.
    #[must_use]
    pub fn config(&self) -> Config {
        let clock = Arc::clone(&self.clock);
        let now = move || UtcTime::from_unix(clock.load(Ordering::SeqCst));
        let (uptime, boot) = (Arc::clone(&self.uptime), Arc::clone(&self.boot));
        let moment = move || Moment {
            boot: BootId::of(&boot.load(Ordering::SeqCst).to_string()),
            uptime_seconds: uptime.load(Ordering::SeqCst),
        };
        let clock = WallClock::new(now, crate::repository::clock().build).with_moment(moment);
        let config = Config::load(&self.path("agent.toml"), clock).unwrap();
        Config { program: self.program.clone(), cgroups: self.path("cgroups"), ..config }
    }

    /// The program with this appliance's configuration.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.path("agent.toml")).args(arguments);
        command
    }

    /// Hosts the agent while `work` runs: as a daemon does, without its sockets.
    ///
    /// # Errors
    /// The agent does not start.
    ///
    /// # Panics
    /// There is no event loop to be had, or the agent does not stop in order.
    pub fn host<T>(&self, work: impl AsyncFnOnce(&Agent) -> T) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let agent = Agent::start(self.config()).await?;
            let outcome = work(&agent).await;
            agent.stop().await?;
            Ok(outcome)
        })
    }

    /// Hosts the agent until it has answered.
    ///
    /// # Errors
    /// What the agent refuses.
    pub fn ask(&self, call: Call) -> Answer {
        self.host(async |agent| agent.call(call).await)?
    }

    fn ask_for<T: DeserializeOwned>(&self, call: Call) -> T {
        serde_json::from_value(self.ask(call).unwrap()).unwrap()
    }

    /// A fresh request for this device's keys.
    ///
    /// # Panics
    /// The appliance is enrolled already.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        canonical::encode(&self.ask(Call::EnrolRequest).unwrap())
    }

    /// The device's public keys, as its request says.
    ///
    /// # Panics
    /// The request does not verify.
    #[must_use]
    pub fn keys(&self) -> DeviceKeys {
        let public = self.path("keys");
        if !public.exists() {
            std::fs::write(&public, self.request()).unwrap();
        }
        EnrolmentRequest::parse(&std::fs::read(public).unwrap()).unwrap().keys().clone()
    }

    /// The grant `site` gives this appliance under the name `id`.
    #[must_use]
    pub fn grant(&self, site: &Site, id: &str) -> Vec<u8> {
        let device = self.keys().fingerprint();
        EnrolmentGrant::new(id.parse().unwrap(), site.jurisdiction, device, &site.root(1)).to_bytes().unwrap()
    }

    /// Reads a grant.
    ///
    /// # Errors
    /// What the agent refuses.
    pub fn offer(&self, grant: &[u8]) -> Result<PendingEnrolment, Failure> {
        self.ask(Call::EnrolGrant { grant: grant.to_vec() }).map(|value| serde_json::from_value(value).unwrap())
    }

    /// Enrols as `id`, comparing the words, and binds the site's assignment to this device.
    ///
    /// # Panics
    /// Enrolment fails.
    pub fn enrol(&self, site: &mut Site, id: &str) {
        let pending = self.offer(&self.grant(site, id)).unwrap();
        let words = pending.words.join(" ");
        let enrolled: ConfirmedEnrolment = self.ask_for(Call::EnrolWords { words });
        assert_eq!(enrolled.appliance.as_str(), id);
        if let Some(assignment) = site.assignments.get_mut(&enrolled.appliance) {
            assignment.device = self.keys().fingerprint();
        }
    }

    /// Puts exactly these bundles onto the stick.
    ///
    /// # Panics
    /// The stick cannot be written.
    pub fn carry(&self, bundles: &[(&str, &[u8])]) {
        let inbox = self.path("stick/in");
        std::fs::remove_dir_all(&inbox).unwrap();
        std::fs::create_dir_all(&inbox).unwrap();
        for (name, bytes) in bundles {
            std::fs::write(inbox.join(name), bytes).unwrap();
        }
    }

    /// Imports exactly these bundles from the stick.
    ///
    /// # Panics
    /// The import ends without a report.
    #[must_use]
    pub fn import(&self, bundles: &[(&str, &[u8])]) -> ImportReport {
        self.carry(bundles);
        self.ask_for(Call::Import {
            source: ImportSource::Path(self.path("stick")),
            transport: Transport::Local,
            wait: false,
            dry_run: false,
        })
    }

    /// Imports one bundle.
    #[must_use]
    pub fn import_one(&self, bytes: &[u8]) -> ImportReport {
        self.import(&[("bundle.casemate", bytes)])
    }

    /// The status report.
    #[must_use]
    pub fn status(&self) -> StatusReport {
        self.ask_for(Call::Status)
    }

    /// The health report.
    #[must_use]
    pub fn health(&self) -> HealthReport {
        self.ask_for(Call::Health)
    }

    /// The receipts kept, each verified with the device's enrolled key, by number.
    ///
    /// # Panics
    /// One does not verify.
    #[must_use]
    pub fn receipts(&self) -> Vec<Statement> {
        let list: ReceiptList = self.ask_for(Call::Receipts);
        let read = |sequence| canonical::encode(&self.ask(Call::Receipt { sequence }).unwrap());
        let envelopes = list.receipts.iter().map(|entry| read(entry.sequence));
        envelopes.map(|raw| receipt::verify(&raw, &self.keys().receipts).unwrap().statement().clone()).collect()
    }

    /// What consumers read at `path` below `current/`.
    #[must_use]
    pub fn current(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path("state/current").join(path)).ok()
    }
}

/// Every regular file below `folder`, with its content.
///
/// # Panics
/// The folder cannot be read.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(content) = std::fs::read(&path)
            {
                // One that was renamed meanwhile is found under its new name the next time.
                files.push((path, content));
            }
        }
    }
    files.sort();
    files
}
