//! The firmware service with the real agent: two programs and a socket between them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use casemate_protocol::bundle::manifest::{Apply, Consumer, Manifest};
use casemate_protocol::device::id::Name;
use casemate_tests::appliance::Appliance;
use casemate_tests::http::{get, post};
use casemate_tests::repository::Site;
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::first_bundle::enrolled;

const SERVICE: &str = env!("CARGO_BIN_EXE_firmware-under-test");
const FILE: &str = "firmware/system.img";
const MARCH: &[u8] = b"the firmware of March";
const APRIL: &[u8] = b"the firmware of April";

/// The service, killed when dropped.
struct Firmware {
    child: Child,
    talk: BufReader<ChildStderr>,
}

impl Firmware {
    fn start(appliance: &Appliance) -> Self {
        let mut command = Command::new(SERVICE);
        command.arg("--config").arg(appliance.path("firmware.toml")).arg("run").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let talk = BufReader::new(child.stderr.take().unwrap());
        let mut firmware = Self { child, talk };
        firmware.says("following the agent");
        firmware
    }

    /// Waits for a line of its log.
    fn says(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.talk.read_line(&mut line).unwrap(), 0, "the service ended before it said {text:?}");
        }
    }
}

impl Drop for Firmware {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Declares the firmware service and a second consumer, both of which have to confirm.
fn declare(manifest: &mut Manifest) {
    let consumer = || Consumer { unit: None, on_change: Default::default(), ready: None };
    manifest.consumers = ["firmware", "synapse"].map(|name| (name.parse().unwrap(), consumer())).into();
    for file in &mut manifest.files {
        file.consumer = (file.path.as_str() == FILE).then(|| "firmware".parse::<Name>().unwrap());
    }
}

fn alone(manifest: &mut Manifest) {
    declare(manifest);
    manifest.consumers = BTreeMap::from_iter(manifest.consumers.pop_first());
}

/// An appliance that runs from slot a, and a site whose clinics get March's firmware.
fn scene() -> (Appliance, Site) {
    let (appliance, mut site) = enrolled();
    let clinics = site.owner("group.clinics");
    clinics.files.insert(FILE.into(), MARCH.into());
    clinics.apply = Apply { confirm: vec!["consumers".into()], deadline: Some("10m".into()), ..Apply::default() };
    clinics.edit = alone;
    let group = nix::unistd::Group::from_gid(nix::unistd::getegid()).unwrap().unwrap().name;
    let [socket, a, b, pointer, booted, state] =
        ["consumer.sock", "a", "b", "pointer", "cmdline", "firmware"].map(|name| appliance.path(name));
    let agent = std::fs::read_to_string(appliance.path("agent.toml")).unwrap();
    let agent = format!("{agent}[local.consumer]\nsocket = {socket:?}\ngroup = {group:?}\n");
    std::fs::write(appliance.path("agent.toml"), agent).unwrap();
    let firmware = format!(
        "socket = {socket:?}\nstate = {state:?}\n[files]\nslots = {{ a = {a:?}, b = {b:?} }}\npointer = {pointer:?}\n\
         booted = {booted:?}\n"
    );
    std::fs::write(appliance.path("firmware.toml"), firmware).unwrap();
    std::fs::write(booted, "casemate.slot=a\n").unwrap();
    std::fs::write(a, "what runs").unwrap();
    (appliance, site)
}

fn import(appliance: &Appliance, site: &Site, wait: bool) -> Value {
    let bundle: PathBuf = appliance.path("next.casemate");
    std::fs::write(&bundle, site.issue().bundle().bytes()).unwrap();
    post(&appliance.path("socket"), "/v1/bundles", &json!({ "path": bundle, "wait": wait })).json()
}

fn read(appliance: &Appliance, name: &str) -> String {
    std::fs::read_to_string(appliance.path(name)).unwrap_or_default()
}

#[test]
fn firmware_in_a_bundle_gets_into_the_other_slot_and_commits_its_generation() {
    let (appliance, mut site) = scene();
    let _agent = Daemon::start(&appliance);
    let _firmware = Firmware::start(&appliance);
    let report = import(&appliance, &site, true);
    assert_eq!(report["code"], "applied", "{report:#}");
    assert_eq!((read(&appliance, "a"), read(&appliance, "pointer")), ("what runs".into(), "b\n".into()));
    assert_eq!(read(&appliance, "b").as_bytes(), MARCH);
    site.reissue("group.clinics", FILE, APRIL);
    let report = import(&appliance, &site, true);
    assert_eq!(report["code"], "applied", "{report:#}");
    assert_eq!((read(&appliance, "b").as_bytes(), read(&appliance, "pointer").as_str()), (APRIL, "b\n"));
    let status = Command::new(SERVICE)
        .arg("--config")
        .arg(appliance.path("firmware.toml"))
        .args(["status", "--json"])
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["slots"][0]["booted"], &status["slots"][1]["next"]), (&json!(true), &json!(true)));
    assert_eq!(status["slots"][1]["object"], json!(casemate_protocol::digest::Digest::of(APRIL)));
}

#[test]
fn firmware_that_cannot_be_installed_undoes_its_generation_with_a_word() {
    let (appliance, site) = scene();
    std::fs::write(appliance.path("cmdline"), "quiet\n").unwrap();
    let _agent = Daemon::start(&appliance);
    let _firmware = Firmware::start(&appliance);
    let report = import(&appliance, &site, true);
    assert_eq!(report["code"], "consumer-failed", "{report:#}");
    let status = get(&appliance.path("socket"), "/v1/status").json();
    assert!(status.to_string().contains("\"boot-slot-unknown\""), "{status:#}");
    assert_eq!((read(&appliance, "b"), read(&appliance, "pointer")), (String::new(), String::new()));
}

#[test]
fn firmware_of_a_generation_that_another_consumer_refuses_does_not_boot_next() {
    let (appliance, mut site) = scene();
    site.owner("group.clinics").edit = declare;
    let _agent = Daemon::start(&appliance);
    let mut firmware = Firmware::start(&appliance);
    let report = import(&appliance, &site, false);
    assert_eq!(report["code"], "probation", "{report:#}");
    firmware.says("reported");
    assert_eq!(read(&appliance, "pointer"), "b\n");
    let refusal = json!({ "owner": "group.clinics", "generation": 1, "outcome": "failed", "reason": "wrong-port" });
    let reply = post(&appliance.path("consumer.sock"), "/v1/consumers/synapse/reports", &refusal);
    assert_eq!(reply.status, 200, "{reply:?}");
    firmware.says("marked to boot next; nothing had to be written");
    assert_eq!((read(&appliance, "a"), read(&appliance, "pointer")), ("what runs".into(), "a\n".into()));
}
