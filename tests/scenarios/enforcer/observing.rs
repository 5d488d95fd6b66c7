//! Observing: what goes beyond the boundary is let through until its end, and the end stays the end.

use casemate_agent::boundary::status::EnforcerMode;
use casemate_protocol::digest::Digest;
use casemate_protocol::signed;
use casemate_tests::namespace::{World, in_namespace, run};
use casemate_tests::repository::{Site, signed_at};

use super::machine::{Machine, rules};

/// Days after which what was signed is not observed any more.
const DAYS: u64 = 10;

/// A site that is observed for `days`.
fn observed(days: u64) -> Site {
    let mut site = Site::fenced();
    let envelope = &mut site.boundaries().envelope;
    envelope.observe = true;
    let bound = Digest::of(&signed::message(envelope).unwrap());
    site.envelope = Some(bound);
    site.lan().observe_until = Some(signed_at().plus_days(days));
    site
}

fn observes(machine: &Machine) -> bool {
    let status = machine.enforce();
    assert_eq!(rules().contains("meta time"), status.mode == EnforcerMode::Observe);
    assert_eq!((status.refused, status.observe_until.is_some()), (None, status.mode == EnforcerMode::Observe));
    status.mode == EnforcerMode::Observe
}

#[test]
fn a_clock_set_back_does_not_open_again_what_was_over() {
    in_namespace(|| {
        let machine = Machine::pinned(&observed(DAYS));
        machine.offer(&observed(DAYS));
        assert!(observes(&machine));
        let machine = machine.later(DAYS);
        assert!(!observes(&machine));
        let machine = machine.later(1);
        assert!(!observes(&machine));
        // Also not when the machine starts anew.
        let _flushed = run("nft", &["flush ruleset"]);
        std::fs::remove_dir_all(machine.run()).unwrap();
        assert!(!observes(&machine));
        // Torn memory is no way back either. A newer boundary that was signed so is.
        let path = machine.kept().join("observed.json");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(!observes(&machine));
        let mut newer = observed(DAYS);
        newer.refence(|policy| policy.flows.truncate(1));
        machine.offer(&newer);
        assert!(observes(&machine));
        // It is the memory that holds the end.
        machine.offer(&newer);
        let machine = machine.later(DAYS);
        assert!(!observes(&machine));
        std::fs::remove_file(path).unwrap();
        assert!(observes(&machine.later(1)));
    });
}

#[test]
fn a_clock_held_back_is_outlasted_by_the_machines_own() {
    in_namespace(|| {
        let machine = Machine::pinned(&observed(DAYS));
        machine.offer(&observed(DAYS));
        assert!(observes(&machine));
        let machine = machine.up_for(DAYS - 1);
        assert!(observes(&machine));
        assert!(!observes(&machine.up_for(DAYS)));
    });
}

/// A cable over which everything could leave.
fn wired() -> World {
    let world = World::wired();
    let _up = run("ip", &["link", "set", "eth0", "up"]);
    let _address = run("ip", &["address", "add", "10.20.1.2/24", "dev", "eth0"]);
    let _route = run("ip", &["route", "add", "192.0.2.0/24", "dev", "eth0"]);
    world
}

/// A packet to where nothing that was signed leads: whether the kernel takes it.
fn sends() -> bool {
    let program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))";
    std::process::Command::new("python3").args(["-c", program]).output().unwrap().status.success()
}

#[test]
fn the_kernel_itself_remembers_that_it_saw_the_end() {
    // By the kernel's clock, which is this machine's.
    in_namespace(|| {
        let _world = wired();
        let machine = Machine::pinned(&observed(36_500));
        machine.offer(&observed(36_500));
        assert!(observes(&machine));
        assert!(sends(), "observed");
        assert!(observes(&machine), "it has not seen the end");
        // As a packet after the end leaves it.
        for family in ["inet", "arp", "netdev"] {
            let _seen = run("nft", &["add", "element", family, "casemate", "passed", "{", "0", "}"]);
        }
        assert!(!sends(), "dropped, though the clock stands before the end");
        assert!(!observes(&machine), "and the enforcer finds it");
        let _flushed = run("nft", &["flush ruleset"]);
        assert!(!observes(&machine), "for good");
    });
}

#[test]
fn a_packet_after_the_end_is_what_the_kernel_remembers() {
    in_namespace(|| {
        let _world = wired();
        let machine = Machine::pinned(&observed(DAYS));
        machine.offer(&observed(DAYS));
        assert!(observes(&machine));
        // The kernel may have said something by itself already: any packet counts.
        assert!(!sends(), "it is over by the kernel's clock");
        assert!(run("nft", &["list", "set", "inet", "casemate", "passed"]).contains("elements"));
    });
}
