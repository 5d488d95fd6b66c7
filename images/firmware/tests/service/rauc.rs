//! Real RAUC on a private bus: its own configuration, two slots that are files, a boot loader that is a shell script,
//! bundles signed by a throw-away authority. RAUC mounts bundles, so this wants root and a loop device.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use casemate_firmware::reason::Reason;
use casemate_firmware::slot::{Progress, Rauc, SlotName, SlotWriter};
use serde_json::json;

use crate::bench::{Bench, run};
use crate::stand_in::{StandIn, tree};

const IMAGE: usize = 3_000_000;
/// Answers as RAUC asks a boot loader: <https://rauc.readthedocs.io/en/latest/integration.html#custom>.
const BOOT_LOADER: &str = r#"#!/bin/sh
cd "${0%/*}"
case $1 in
  get-primary) cat primary ;;
  set-primary) echo "$2" >primary ;;
  get-state) cat "state.$2" 2>/dev/null || echo good ;;
  set-state)
    echo "$3" >"state.$2"
    if [ -p held ]; then echo "$PPID" >held; read -r _ <go; fi
    ;;
esac
"#;

/// A system with RAUC. The bus starts RAUC when it is first asked, and RAUC ends with the bus.
struct System {
    bench: Bench,
    bus: Child,
}

impl System {
    fn start() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("nothing is tested here: RAUC mounts bundles, which only root may");
            return None;
        }
        let bench = Bench::new();
        for name in ["services", "mount"] {
            std::fs::create_dir(bench.path(name)).unwrap();
        }
        for name in ["site", "stranger"] {
            authority(&bench, name);
        }
        bench.write("primary", "A\n");
        bench.write("loader", BOOT_LOADER);
        std::fs::set_permissions(bench.path("loader"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(bench.path("slot.a"), vec![1; IMAGE]).unwrap();
        std::fs::write(bench.path("slot.b"), vec![2; IMAGE]).unwrap();
        let at = bench.folder.path().display();
        bench.write(
            "system.conf",
            &format!(
                "[system]\ncompatible=casemate-bench\nbootloader=custom\nstatusfile={at}/rauc.status\n\
                 mountprefix={at}/mount\nbundle-formats=plain\n[handlers]\nbootloader-custom-backend={at}/loader\n\
                 [keyring]\npath={at}/site.pem\n\
                 [slot.system.0]\ndevice={at}/slot.a\ntype=raw\nbootname=A\n\
                 [slot.system.1]\ndevice={at}/slot.b\ntype=raw\nbootname=B\n"
            ),
        );
        bench.write(
            "services/rauc.service",
            &format!(
                "[D-BUS Service]\nName=de.pengutronix.rauc\n\
                 Exec=/usr/bin/env DBUS_SYSTEM_BUS_ADDRESS=unix:path={at}/bus \
                 rauc --conf={at}/system.conf --override-boot-slot=A service\n"
            ),
        );
        bench.write(
            "bus.conf",
            &format!(
                "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
                 \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>custom</type>\
                 <listen>unix:path={at}/bus</listen><auth>EXTERNAL</auth><servicedir>{at}/services</servicedir>\
                 <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
                 <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n"
            ),
        );
        let log = std::fs::File::create(bench.path("log")).unwrap();
        let mut bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={at}/bus.conf"))
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("dbus-daemon is installed: .ci/setup test");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:"), "{address}");
        Some(Self { bench, bus })
    }

    fn rauc(&self) -> Rauc {
        Rauc::new(self.bench.path("bus"), Duration::from_secs(60))
    }

    /// A bundle for `compatible`, signed by `signer`.
    fn bundle(&self, name: &str, compatible: &str, signer: &str, image: &[u8]) -> Vec<u8> {
        let input = self.bench.path(&format!("input.{name}"));
        std::fs::create_dir(&input).unwrap();
        std::fs::write(input.join("system.img"), image).unwrap();
        let manifest = format!(
            "[update]\ncompatible={compatible}\nversion={name}\n[bundle]\nformat=plain\n\
             [image.system]\nfilename=system.img\n"
        );
        std::fs::write(input.join("manifest.raucm"), manifest).unwrap();
        let bundle = self.bench.path(&format!("{name}.raucb"));
        let [certificate, key] = ["pem", "key"].map(|kind| self.bench.path(&format!("{signer}.{kind}")));
        tool(
            Command::new("rauc")
                .arg("bundle")
                .arg("--cert")
                .arg(certificate)
                .arg("--key")
                .arg(key)
                .arg(input)
                .arg(&bundle),
        );
        std::fs::read(bundle).unwrap()
    }

    fn status(&self) -> String {
        std::fs::read_to_string(self.bench.path("rauc.status")).unwrap_or_default()
    }

    fn primary(&self) -> String {
        std::fs::read_to_string(self.bench.path("primary")).unwrap().trim().into()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.bench.path("log")).unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _gone = self.bus.kill();
        let _reaped = self.bus.wait();
    }
}

impl Bench {
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }
}

/// Makes RAUC stop in the middle: it asks the boot loader to mark the slot bad before it writes.
struct Hold<'a>(&'a Bench);

impl<'a> Hold<'a> {
    fn new(bench: &'a Bench) -> Self {
        for name in ["held", "go"] {
            nix::unistd::mkfifo(&bench.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        Self(bench)
    }

    /// Waits until RAUC stands there; its process id.
    async fn reached(&self) -> i32 {
        let path = self.0.path("held");
        let said = tokio::task::spawn_blocking(move || std::fs::read_to_string(path).unwrap());
        said.await.unwrap().trim().parse().unwrap()
    }

    /// Lets RAUC go on, this time and every time after.
    async fn release(self) {
        let (held, go) = (self.0.path("held"), self.0.path("go"));
        std::fs::remove_file(held).unwrap();
        tokio::task::spawn_blocking(move || std::fs::write(go, "go\n").unwrap()).await.unwrap();
    }
}

/// Runs a tool to its end.
fn tool(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; .ci/setup test installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn authority(bench: &Bench, name: &str) {
    let [certificate, key]: [PathBuf; 2] = ["pem", "key"].map(|kind| bench.path(&format!("{name}.{kind}")));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    tool(openssl.arg("-subj").arg(format!("/CN={name}")).arg("-keyout").arg(key).arg("-out").arg(certificate));
}

fn image() -> Vec<u8> {
    // Not compressible into nothing, and the same in every run.
    let mut state = 7_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(IMAGE)
    .collect()
}

fn offered(system: &System, generation: u64, bundle: &[u8]) -> serde_json::Value {
    system.bench.assign("appliance.raucb", bundle);
    tree("probation", generation, &system.bench.path("generation"), &[("firmware/appliance.raucb", bundle)])
}

fn nothing_current() -> serde_json::Value {
    json!({ "sequence": 1, "owners": [] })
}

fn slot(system: &System, name: &str) -> Vec<u8> {
    system.bench.slot(&format!("slot.{name}"))
}

#[test]
fn rauc_installs_a_bundle_into_the_slot_that_does_not_run_and_its_progress_is_seen() {
    run(async {
        let Some(system) = System::start() else { return };
        let image = image();
        system.bundle("good", "casemate-bench", "site", &image);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let progress: Progress = Arc::new(move |percent| noted.lock().unwrap().push(percent));
        let rauc = system.rauc();
        let before = rauc.look().await.unwrap();
        let [a, b] = ["system.0", "system.1"].map(SlotName::new);
        assert_eq!((&before.booted, &before.next), (&a, &a));
        let installed = rauc.install(&system.bench.path("good.raucb"), &progress).await;
        assert_eq!(installed.unwrap_or_else(|error| panic!("{error:?}\n{}", system.log())), b);
        let after = rauc.look().await.unwrap();
        assert_eq!((&after.booted, &after.next), (&a, &b));
        assert_ne!(after.seals[&b], before.seals[&b]);
        assert_eq!(after.seals[&a], before.seals[&a]);
        assert!(slot(&system, "b") == image && slot(&system, "a") == vec![1; IMAGE]);
        let seen = seen.lock().unwrap().clone();
        assert!(seen.is_sorted() && seen.last() == Some(&100), "{seen:?}");
    });
}

#[test]
fn a_bundle_of_a_generation_is_installed_once_and_given_back_when_undone() {
    run(async {
        let Some(system) = System::start() else { return };
        let image = image();
        let bundle = system.bundle("good", "casemate-bench", "site", &image);
        let mut agent = StandIn::start(system.bench.folder.path(), offered(&system, 4, &bundle));
        let service = system.bench.start(system.rauc(), "first");
        let ready = |generation| json!({ "owner": "group.base", "generation": generation, "outcome": "ready" });
        assert_eq!(agent.report().await, ready(4), "{}", system.log());
        assert!(slot(&system, "b") == image && system.primary() == "B");
        // What RAUC was given was the service's copy: RAUC changes the owner of what it installs.
        assert!(system.log().contains("state/artifact"), "{}", system.log());
        drop(service);

        let _service = system.bench.start(system.rauc(), "first");
        assert_eq!(agent.report().await, ready(4));
        assert!(system.status().contains("installed.count=1"), "{}", system.status());

        let _first = agent.stream().await;
        let mut events = agent.stream().await;
        agent.script().trees = [nothing_current()].into();
        events.send(9, "generation").await;
        let mut events = agent.settled(events).await;
        assert_eq!(system.primary(), "A");

        agent.script().trees = [offered(&system, 6, &bundle)].into();
        events.send(10, "generation").await;
        assert_eq!(agent.report().await, ready(6));
        assert_eq!(system.primary(), "B");
        assert!(system.status().contains("installed.count=1"), "{}", system.status());
    });
}

#[test]
fn what_rauc_refuses_is_reported_with_a_word_and_the_running_slot_boots_next() {
    run(async {
        let Some(system) = System::start() else { return };
        let image = image();
        let mut tampered = system.bundle("tampered", "casemate-bench", "site", &image);
        tampered[100_000] ^= 1;
        let cut = tampered[..200_000].to_vec();
        let cases = [
            (tampered, "signature-invalid"),
            (system.bundle("foreign", "casemate-bench", "stranger", &image), "signature-invalid"),
            (system.bundle("other", "another-device", "site", &image), "compatible-mismatch"),
            (cut, "bundle-malformed"),
        ];
        let mut agent = StandIn::start(system.bench.folder.path(), nothing_current());
        let _service = system.bench.start(system.rauc(), "first");
        let mut events = agent.stream().await;
        for ((bundle, reason), generation) in cases.into_iter().zip(1..) {
            agent.script().trees = [offered(&system, generation, &bundle)].into();
            events.send(generation, "generation").await;
            let expected =
                json!({ "owner": "group.base", "generation": generation, "outcome": "failed", "reason": reason });
            assert_eq!(agent.report().await, expected, "{}", system.log());
            assert_eq!((system.primary(), slot(&system, "a") == vec![1; IMAGE]), ("A".into(), true), "{reason}");
        }
        assert!(slot(&system, "b") == vec![2; IMAGE]);
    });
}

#[test]
fn a_rauc_that_dies_in_the_middle_is_not_waited_for() {
    run(async {
        let Some(system) = System::start() else { return };
        system.bundle("good", "casemate-bench", "site", &image());
        let (hold, rauc, path) = (Hold::new(&system.bench), system.rauc(), system.bench.path("good.raucb"));
        let unheard: Progress = Arc::new(|_| {});
        let (installed, ()) = tokio::join!(rauc.install(&path, &unheard), async {
            let pid = nix::unistd::Pid::from_raw(hold.reached().await);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        });
        let error = installed.unwrap_err();
        assert_eq!(error.reason(), Reason::InstallerUnreachable, "{error}");
        // A dead RAUC leaves its mount behind; a machine loses it with the next boot.
        tool(Command::new("umount").arg(system.bench.path("mount/bundle")));
        hold.release().await;
        assert_eq!(system.primary(), "A");
        // The next call brings RAUC back.
        assert_eq!(rauc.install(&path, &unheard).await.unwrap(), SlotName::new("system.1"));
    });
}

#[test]
fn a_rauc_that_takes_too_long_is_given_up_and_waited_for_before_it_is_asked_again() {
    run(async {
        let Some(system) = System::start() else { return };
        system.bundle("good", "casemate-bench", "site", &image());
        let (hold, path) = (Hold::new(&system.bench), system.bench.path("good.raucb"));
        let unheard: Progress = Arc::new(|_| {});
        let hasty = Rauc::new(system.bench.path("bus"), Duration::from_secs(2));
        // Has the bus start RAUC, which is not what is timed.
        system.rauc().look().await.unwrap();
        let (installed, _pid) = tokio::join!(hasty.install(&path, &unheard), hold.reached());
        assert_eq!(installed.unwrap_err().reason(), Reason::TimedOut);
        assert_eq!(hasty.look().await.unwrap_err().reason(), Reason::InstallerBusy);
        let patient = system.rauc();
        let (slots, ()) = tokio::join!(patient.look(), hold.release());
        assert_eq!(slots.unwrap().next, SlotName::new("system.1"));
    });
}

#[test]
fn a_bus_without_rauc_is_told_apart_from_a_refusal() {
    run(async {
        let Some(system) = System::start() else { return };
        std::fs::remove_file(system.bench.path("services/rauc.service")).unwrap();
        let error = system.rauc().look().await.unwrap_err();
        assert_eq!(error.reason(), Reason::InstallerUnreachable, "{error:?}");
        let nowhere = Rauc::new(Path::new("/nonexistent/bus").into(), Duration::from_secs(1));
        assert_eq!(nowhere.look().await.unwrap_err().reason(), Reason::InstallerUnreachable);
    });
}
