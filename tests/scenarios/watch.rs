//! The watcher with a real packet filter: what it tells of packets the kernel dropped.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use casemate_agent::boundary::drops::{DropDirection, DropRow, Drops};
use casemate_tests::appliance::Appliance;
use serde_json::Value;

use crate::AGENT;

const STAGE: &str = include_str!("watch/stage.py");
const UNIT: &str = "casemate-watched.service";

/// A control group named as a unit's, removed when dropped.
struct Group(PathBuf);

impl Group {
    /// `None` where the kernel has no control groups with numbers, or this user may not make one.
    fn make() -> Option<Self> {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let root = roots
            .into_iter()
            .find(|root| root.join("cgroup.procs").exists() && root.join("cgroup.controllers").exists())?;
        let slice = root.join(format!("casemate-tests-{}.slice", std::process::id()));
        std::fs::create_dir_all(slice.join(UNIT)).ok().map(|()| Self(slice))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _unit = std::fs::remove_dir(self.0.join(UNIT));
        let _slice = std::fs::remove_dir(&self.0);
    }
}

fn row<'a>(drops: &'a Drops, protocol: &str, port: Option<u16>) -> &'a DropRow {
    drops.rows.iter().find(|row| (row.protocol.as_str(), row.port) == (protocol, port)).unwrap()
}

#[test]
fn what_the_kernel_dropped_is_told_with_user_unit_and_destination() {
    let filters = Command::new("unshare").args(["--net", "nft", "list", "ruleset"]).stderr(Stdio::null()).status();
    if !nix::unistd::geteuid().is_root() || !filters.is_ok_and(|status| status.success()) {
        eprintln!("skipped: it takes root, network namespaces and nftables");
        return;
    }
    let appliance = Appliance::new(AGENT);
    let folder = appliance.path("watch");
    std::fs::create_dir(&folder).unwrap();
    let config = std::fs::read_to_string(appliance.path("agent.toml")).unwrap();
    let config = format!("{config}[boundary]\nwatch = {:?}\n", folder.display().to_string());
    std::fs::write(appliance.path("agent.toml"), config).unwrap();
    let group = Group::make();
    let unit = group.as_ref().map(|group| group.0.join(UNIT)).unwrap_or_default();
    let watcher = appliance.command(&["boundary", "watch"]);
    // As its unit starts it: a user of its own with one right.
    std::fs::set_permissions(appliance.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&folder, Some(65534), Some(65534)).unwrap();
    let user = "--reuid=65534 --regid=65534 --clear-groups --no-new-privs";
    let right = "--bounding-set=-all,+net_admin --inh-caps=-all,+net_admin --ambient-caps=-all,+net_admin";
    let output = Command::new("unshare")
        .args(["--net", "python3", "-c", STAGE])
        .args([&folder, &unit])
        .arg("setpriv")
        .args(user.split(' ').chain(right.split(' ')))
        .arg(watcher.get_program())
        .args(watcher.get_args())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let drops = Drops::read(&folder).unwrap();
    assert_eq!(drops, serde_json::from_value(told["drops"].clone()).unwrap(), "of the shape the agent reads");
    assert_eq!(drops.lost, 0);
    let out = DropDirection::Out;
    for (protocol, port, address, uid, count) in [
        ("udp", Some(123), "192.0.2.9", 65534, Some(1)),
        ("tcp", Some(443), "192.0.2.9", 0, None),
        ("icmp", None, "192.0.2.9", 0, Some(2)),
    ] {
        let row = row(&drops, protocol, port);
        assert_eq!((row.direction, row.address.to_string().as_str(), row.uid), (out, address, Some(uid)), "{row:?}");
        assert!(count.is_none_or(|count| count == row.count), "{row:?}");
        // Raw sockets have no ports to be found by.
        let unit = group.as_ref().filter(|_| protocol != "icmp").map(|_| UNIT);
        assert_eq!(row.unit.as_deref(), unit, "{row:?}");
    }
    let (v4, v6): (Vec<_>, Vec<_>) =
        drops.rows.iter().filter(|row| row.port == Some(53)).partition(|row| row.address.is_ipv4());
    assert_eq!((v4.len(), v4[0].count, v6.len(), v6[0].count), (1, 3, 1, 1), "{drops:?}");
    let inwards = row(&drops, "tcp", Some(8008));
    assert_eq!((inwards.direction, inwards.address.to_string().as_str()), (DropDirection::In, "127.0.0.1"));
    // The right that bound the group is gone.
    for field in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(told["status"][field], "0000000000000000", "{field}");
    }
    assert_eq!((&told["status"]["Seccomp"], &told["status"]["NoNewPrivs"]), (&"2".into(), &"1".into()));
}

#[test]
fn without_the_right_to_the_group_the_watcher_says_what_it_needs() {
    let appliance = Appliance::new(AGENT);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"]);
    if nix::unistd::geteuid().is_root() {
        std::fs::set_permissions(appliance.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    }
    let watcher = appliance.command(&["boundary", "watch"]);
    let output = command.arg(watcher.get_program()).args(watcher.get_args()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("CAP_NET_ADMIN"), "{text}");
}
