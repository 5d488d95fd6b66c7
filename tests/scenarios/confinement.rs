//! The agent's own process: what the kernel refuses it, tried for real, layer by layer and without any.
//!
//! The attempts run in network, mount and UTS namespaces of their own, on their loopback device.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::daemon::Daemon;
use crate::first_bundle::enrolled;

const CONFINED: &str = env!("CARGO_BIN_EXE_confined");
const ATTEMPTS: &str = include_str!("confinement/attempts.py");
/// Starts two listeners on loopback, and then the rest of the command line with their ports.
const STAGE: &str = r#"
import os, socket, subprocess, sys
listeners = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(2)]
ports = [str(one.getsockname()[1]) for one in listeners]
confined, layers, script, outside = sys.argv[1:]
sys.exit(subprocess.call([confined, layers, ports[0], sys.executable, "-c", script, *ports, outside]))
"#;

type Outcomes = BTreeMap<String, String>;

/// What comes of each attempt under `layers`; `None` where this machine lets nobody make namespaces.
fn outcomes(layers: &str) -> Option<Outcomes> {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let script = format!("ip link set lo up && exec python3 -c '{STAGE}' \"$@\"");
    let namespaces = ["--net", "--mount", "--uts", "--ipc"];
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    if !command.args(namespaces).arg("true").stderr(Stdio::null()).status().unwrap().success() {
        eprintln!("skipped: namespaces cannot be made here");
        return None;
    }
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(namespaces).args(["sh", "-c", &script, "sh", CONFINED, layers, ATTEMPTS]).arg(outside.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Kinds of sockets that this kernel may not have at all.
fn is_no_refusal(outcome: &str) -> bool {
    !matches!(outcome, "EPERM" | "EACCES")
}

#[test]
fn a_confined_process_is_refused_what_it_could_do_before() {
    let (Some(free), Some(confined)) = (outcomes("none"), outcomes("all")) else { return };
    assert_eq!(free.len(), confined.len());
    for (attempt, outcome) in &confined {
        let before = &free[attempt];
        assert!(is_no_refusal(before), "{attempt} proves nothing: {before} without any layer");
        match attempt.as_str() {
            _ if attempt.starts_with("allowed: ") => assert_eq!((before.as_str(), outcome.as_str()), ("done", "done")),
            // As on a kernel without it, so that the C library calls `clone`.
            "clone3" => assert_eq!((before.as_str(), outcome.as_str()), ("EINVAL", "ENOSYS")),
            _ => assert!(!is_no_refusal(outcome), "{attempt}: {before} before, {outcome} confined"),
        }
    }
}

#[test]
fn each_layer_refuses_its_own_part() {
    let (Some(filter), Some(fence)) = (outcomes("filter"), outcomes("fence")) else { return };
    for attempt in ["UDP socket", "raw socket", "packet socket", "MPTCP socket", "netlink socket", "io_uring", "ptrace"]
    {
        assert_eq!(filter[attempt], "EPERM", "{attempt}");
        assert!(is_no_refusal(&fence[attempt]), "{attempt}");
    }
    for attempt in ["connect to another port", "bind a port", "another program", "read outside", "write outside"] {
        assert_eq!(fence[attempt], "EACCES", "{attempt}");
        assert_eq!(filter[attempt], "done", "{attempt}");
    }
    // What the port rules do not see is why the filter is there.
    for attempt in ["fast open by sendto", "fast open by sendmsg", "fast open by option"] {
        assert_eq!((filter[attempt].as_str(), fence[attempt].as_str()), ("EPERM", "done"), "{attempt}");
    }
}

/// A field of `/proc/<pid>/status`.
fn status(path: &str, field: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

#[test]
fn every_thread_of_the_daemon_is_confined() {
    let (appliance, _) = enrolled();
    let daemon = Daemon::start(&appliance);
    let process = format!("/proc/{}", daemon.id());
    let tasks: Vec<_> = std::fs::read_dir(format!("{process}/task")).unwrap().collect();
    assert!(tasks.len() > 1, "the store has a thread of its own");
    for task in tasks {
        let path = task.unwrap().path().join("status").display().to_string();
        for (field, value) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
            assert_eq!(status(&path, field), value, "{field}");
        }
        for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(&path, field), "0000000000000000", "{field}");
        }
    }
}

#[test]
fn a_confined_process_dumps_nothing_and_is_not_looked_into() {
    let show = |layers| Command::new(CONFINED).args([layers, "", "show"]).output().unwrap().stdout;
    let (free, confined) = (show("none"), show("all"));
    assert_eq!(String::from_utf8_lossy(&confined), "dumpable false, core 0\n");
    assert!(free.starts_with(b"dumpable true"), "{free:?}");
}

#[test]
fn no_variable_of_the_environment_reaches_the_daemon() {
    let (appliance, _) = enrolled();
    let library = std::fs::read_to_string("/proc/self/maps").unwrap();
    let library =
        library.lines().find_map(|line| line.ends_with("/libc.so.6").then(|| line.split_once('/').unwrap().1));
    let library = library.map(|path| format!("/{path}").replace("libc.so.6", "libresolv.so.2"));
    let Some(library) = library.filter(|path| std::path::Path::new(path).exists()) else {
        eprintln!("skipped: no C library to preload another beside");
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let keys = elsewhere.path().join("keys");
    let hostile = [
        ("LD_PRELOAD", library.as_str()),
        ("LD_LIBRARY_PATH", "/nonexistent"),
        ("RUST_LOG", "trace"),
        ("SSLKEYLOGFILE", keys.to_str().unwrap()),
        ("HTTPS_PROXY", "http://192.0.2.1:3128"),
        ("ALL_PROXY", "socks5://192.0.2.1:1080"),
        ("HOSTALIASES", "/nonexistent"),
        ("RESOLV_HOST_CONF", "/nonexistent"),
        ("GLIBC_TUNABLES", "glibc.malloc.check=3"),
        ("MALLOC_CONF", "prof:true"),
        ("TZ", "Pacific/Apia"),
    ];
    let daemon = Daemon::start_with(&appliance, &hostile);
    let environment = std::fs::read(format!("/proc/{}/environ", daemon.id())).unwrap();
    assert_eq!(String::from_utf8_lossy(&environment), "", "started again without any");
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", daemon.id())).unwrap();
    assert!(maps.contains("/libc.so.6") && !maps.contains("/libresolv"), "{maps}");
    assert_eq!(std::fs::read_to_string(format!("/proc/{}/comm", daemon.id())).unwrap(), "casemate-agent\n");
    assert!(!keys.exists());
}
