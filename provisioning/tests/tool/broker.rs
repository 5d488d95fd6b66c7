//! `casemate pack --mqtt` and a real Mosquitto.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command};

use casemate_protocol::broker::Announce;
use casemate_protocol::digest::Digest;

use crate::scene::{Run, Scene};

/// A Mosquitto for a scene's authority, with the access list of docs/mqtt.md.
struct Mosquitto {
    child: Child,
    at: String,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mosquitto {
    fn start(scene: &Scene) -> Self {
        scene.ok(&["ca", "init"]);
        scene.ok(&["ca", "issue", "service", "broker", "--key-out", "broker.key.pem", "--address", "127.0.0.1"]);
        scene.ok(&["ca", "issue", "publisher", "publisher-1", "--key-out", "publisher-1.key.pem"]);
        scene.ok(&["ca", "issue", "publisher", "stranger", "--key-out", "stranger.key.pem"]);
        scene.write("acl", include_str!("../../../docs/mqtt/acl"));
        // The kernel's choice; nobody else here wants it in the moment between.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = scene.root().display();
        let config = include_str!("../../../docs/mqtt/mosquitto.conf")
            .replace("persistence true", "persistence false")
            .replace("listener 8883", &format!("listener {port} 127.0.0.1"))
            .replace("/etc/mosquitto/broker.pem", &format!("{place}/site/ca/certificates/service/broker.pem"))
            .replace("/etc/mosquitto/authority.pem", &format!("{place}/site/ca/authority.pem"))
            .replace("/etc/mosquitto/crl.pem", &format!("{place}/site/ca/crl.pem"))
            .replace("/etc/mosquitto/", &format!("{place}/"));
        scene.write("mosquitto.conf", &(config + "user root\nlog_dest stderr\nlog_type all\n"));
        let log = File::create(scene.path("mosquitto.log")).unwrap();
        let mut command = Command::new(
            ["/usr/sbin/mosquitto"].into_iter().find(|path| fs::exists(path).unwrap()).unwrap_or("mosquitto"),
        );
        let child = command.arg("-c").arg(scene.path("mosquitto.conf")).stderr(log).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{error}: apt-get install mosquitto mosquitto-clients"));
        while !scene.read("mosquitto.log").contains(" running") {
            assert!(child.try_wait().unwrap().is_none(), "{}", scene.read("mosquitto.log"));
            std::thread::yield_now();
        }
        Self { child, at: format!("127.0.0.1:{port}") }
    }

    /// `casemate pack --mqtt` as `who`.
    fn pack(&self, scene: &Scene, who: &str, rest: &[&str]) -> Run {
        let pin = scene.ok(&["ca", "pin", "site/ca/certificates/service/broker.pem"]).stdout;
        let certificate = format!("site/ca/certificates/publisher/{who}.pem");
        let key = format!("{who}.key.pem");
        let args = ["--json", "pack", "--mqtt", &self.at, "--certificate", &certificate, "--key", &key];
        scene.run(&[&args[..], &["--pin", pin.trim()], rest].concat())
    }

    /// What is retained under `topic`, if anything is.
    fn retained(&self, scene: &Scene, topic: &str) -> Option<Vec<u8>> {
        let port = self.at.rsplit(':').next().unwrap();
        let mut command = Command::new("mosquitto_sub");
        command.current_dir(scene.root()).args(["-V", "5", "-h", "127.0.0.1", "-p", port, "-q", "1", "--insecure"]);
        command.args(["--cafile", "site/ca/authority.pem", "--key", "publisher-1.key.pem"]);
        command.args(["--cert", "site/ca/certificates/publisher/publisher-1.pem", "-N", "-C", "1", "-W", "2"]);
        let output = command.args(["-t", topic]).output().unwrap();
        output.status.success().then_some(output.stdout)
    }
}

const ANNOUNCE: &str = "casemate/v1/groups/clinics/bundles/announce";

/// A demo site at the machine's time, which is the broker's too.
fn demo() -> Scene {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let mut scene = Scene::empty();
    scene.now = String::from_utf8(output.stdout).unwrap().trim().into();
    scene.ok(&["init", "site", "--jurisdiction", "LU", "--demo"]);
    scene
}

fn site() -> Scene {
    let scene = demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.publish();
    scene
}

#[test]
fn a_bundle_is_left_with_the_broker_and_older_ones_are_cleared() {
    let scene = site();
    let broker = Mosquitto::start(&scene);
    let packed = scene.ok(&["--json", "pack", "--bundle", "out", "--group", "clinics"]).json();
    let left = broker.pack(&scene, "publisher-1", &["--to", "group", "clinics", "--expiry", "2h"]);
    assert_eq!(left.exit, 0, "{left:?}");
    let left = left.json();
    assert_eq!((&left["sha256"], &left["appliances"]), (&packed["sha256"], &packed["appliances"]));
    let Announce::Chunked(first) = Announce::parse(&broker.retained(&scene, ANNOUNCE).unwrap()).unwrap() else {
        panic!("{left}")
    };
    assert_eq!(first.bundle.to_string(), packed["sha256"].as_str().unwrap());
    let chunk = format!("casemate/v1/groups/clinics/bundles/{}/0", first.bundle);
    assert_eq!(Digest::of(&broker.retained(&scene, &chunk).unwrap()), first.chunks[0]);
    assert!(scene.read("mosquitto.log").contains("Received DISCONNECT from casemate-pack"));

    scene.edit("site/groups/clinics/bundle.toml", "summary", "# again\nsummary");
    scene.write("site/groups/clinics/values/lux-001.toml", "organisation = \"another one\"\n");
    scene.publish();
    let again = broker.pack(&scene, "publisher-1", &["--to", "group", "clinics", "--clean"]);
    assert_eq!(again.exit, 0, "{again:?}");
    assert_eq!(again.json()["cleared"], first.chunks.len());
    assert_eq!(broker.retained(&scene, &chunk), None);
    let announced = Announce::parse(&broker.retained(&scene, ANNOUNCE).unwrap()).unwrap();
    assert!(announced.timestamp() > first.timestamp);
    let Announce::Chunked(second) = announced else { panic!("{again:?}") };
    assert!(broker.retained(&scene, &format!("casemate/v1/groups/clinics/bundles/{}/0", second.bundle)).is_some());
}

#[test]
fn whoever_may_not_publish_or_is_not_the_broker_is_told_of() {
    let scene = site();
    let broker = Mosquitto::start(&scene);
    broker.pack(&scene, "stranger", &["--to", "group", "clinics"]).refused("certificate-refused");
    assert_eq!(broker.retained(&scene, ANNOUNCE), None);
    let to = ["--to", "appliance", "lux-001"];
    let wrong = Digest::of(b"another key").to_string();
    let files = ["--certificate", "site/ca/certificates/publisher/stranger.pem", "--key", "stranger.key.pem"];
    let args = [&["pack", "--mqtt", &broker.at, "--pin", &wrong][..], &files, &to].concat();
    scene.run(&args).refused("peer-untrusted");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let args = [&["pack", "--mqtt", &nobody, "--pin", &wrong][..], &files, &to].concat();
    scene.run(&args).refused("peer-unreached");
    let args = [&["pack", "--mqtt", &broker.at, "--pin", &wrong][..], &to].concat();
    scene.run(&args).refused("usage-invalid");
    let args = [&["pack", "--mqtt", "localhost:8883", "--pin", &wrong][..], &files, &to].concat();
    assert_eq!(scene.run(&args).exit, 2, "a name is no address");
}

#[test]
fn what_is_too_long_for_a_broker_is_announced_to_be_pulled() {
    let scene = demo();
    let folder = scene.path("site/groups/clinics/files");
    fs::create_dir_all(&folder).unwrap();
    let block: Vec<u8> = (0..=255).cycle().take(33 << 20).collect();
    for name in ["one.bin", "two.bin"] {
        fs::write(folder.join(name), [name.as_bytes(), &block].concat()).unwrap();
        let text = scene.read("site/groups/clinics/bundle.toml");
        scene.write("site/groups/clinics/bundle.toml", &format!("{text}\n[[file]]\npath = \"{name}\"\n"));
    }
    scene.appliance("lux-001", 1, "clinics");
    scene.publish();
    let broker = Mosquitto::start(&scene);
    let left = broker.pack(&scene, "publisher-1", &["--to", "group", "clinics"]);
    assert_eq!(left.exit, 0, "{left:?}");
    let announced = Announce::parse(&broker.retained(&scene, ANNOUNCE).unwrap()).unwrap();
    assert!(matches!(announced, Announce::Pull { .. }));
}
