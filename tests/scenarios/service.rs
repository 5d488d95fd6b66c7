//! The agent under a service manager, and what of its environment counts.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use casemate_tests::appliance::Appliance;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::AGENT;
use crate::first_bundle::enrolled;

/// A daemon, killed when dropped.
struct Daemon(Child);

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A daemon and the socket at which it thinks its service manager is.
fn managed(appliance: &Appliance) -> (Daemon, UnixDatagram) {
    let path = appliance.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = appliance.command(&["run"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000").stderr(Stdio::null());
    (Daemon(command.spawn().unwrap()), manager)
}

fn said(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let length = manager.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].into()).unwrap()
}

#[test]
fn the_service_manager_hears_ready_then_alive_and_stopping_at_the_end() {
    let (appliance, _) = enrolled();
    let (mut daemon, manager) = managed(&appliance);
    assert_eq!(said(&manager), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(said(&manager), "WATCHDOG=1\n");
    }
    // Whoever asks for a reload ends nothing.
    daemon.signal(Signal::SIGHUP);
    assert_eq!(said(&manager), "WATCHDOG=1\n");
    daemon.signal(Signal::SIGTERM);
    let last = std::iter::repeat_with(|| said(&manager)).find(|message| message != "WATCHDOG=1\n");
    assert_eq!(last.as_deref(), Some("STOPPING=1\n"));
    assert!(daemon.0.wait().unwrap().success());
}

#[test]
fn an_agent_that_is_not_enrolled_is_ready_too() {
    let appliance = Appliance::new(AGENT);
    let (_daemon, manager) = managed(&appliance);
    assert_eq!(said(&manager), "READY=1\n");
    let health = appliance.command(&["--json", "health"]).output().unwrap();
    assert!(health.status.success(), "{health:?}");
    assert!(serde_json::from_slice::<Value>(&health.stdout).unwrap()["state"].is_string());
}

#[test]
fn the_environment_configures_nothing() {
    let appliance = Appliance::new(AGENT);
    let show = |prepare: &dyn Fn(&mut Command)| {
        let mut command = appliance.command(&["config", "show"]);
        prepare(command.env_clear());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (output.stdout, output.stderr)
    };
    let plain = show(&|_| {});
    let set = show(&|command| {
        for key in ["STATE", "SOCKET", "STICK", "RESERVE", "LOG", "CONFIG", "LOCAL_ADMIN_SOCKET"] {
            for prefix in ["CASEMATE_", "CASEMATE_AGENT_", ""] {
                command.env(format!("{prefix}{key}"), "/elsewhere");
            }
        }
        command.env("RUST_LOG", "trace").env("HOME", "/elsewhere").env("XDG_CONFIG_HOME", "/elsewhere");
        // What systemd sets says where it listens, and this standard error is no journal.
        command.env("JOURNAL_STREAM", "1:1").env("STATE_DIRECTORY", "/elsewhere");
    });
    assert_eq!(plain, set);
    let text = String::from_utf8(plain.0).unwrap();
    assert!(text.contains(&format!("{}:1", appliance.path("agent.toml").display())), "{text}");
}
