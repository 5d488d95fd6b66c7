//! The real agent pulls from a real nginx.

use std::time::{Duration, Instant};

use casemate_agent::local_api::answer::ReceiptList;
use casemate_protocol::boundary::Policy;
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{JournalPosition, Statement, Transport};
use casemate_tests::appliance::{Appliance, files_below};
use casemate_tests::depot::{Cast, Nginx, at_the_depot};
use casemate_tests::large;
use casemate_tests::repository::Site;

use crate::AGENT;
use crate::daemon::Daemon;

/// Until the daemon has `count` receipts.
fn until_receipts(appliance: &Appliance, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let output = appliance.command(&["--json", "receipts", "list"]).output().unwrap();
        let list: Option<ReceiptList> = serde_json::from_slice(&output.stdout).ok();
        if list.is_some_and(|list| list.receipts.len() >= count) {
            return;
        }
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A receipt without what has to differ.
fn plain(mut statement: Statement) -> Statement {
    statement.predicate.transport = None;
    statement.predicate.time = casemate_tests::repository::signed_at();
    statement.predicate.journal = JournalPosition { size: 0, root: Digest::of(b"") };
    statement.predicate.archive = None;
    statement
}

#[test]
fn the_same_bundle_by_pull_and_by_stick_gives_the_same_generation_and_the_same_receipt() {
    at_the_depot(|| {
        let cast = Cast::default();
        let nginx = Nginx::start(&cast);
        let (carried, mut site) = (Appliance::new(AGENT), Site::sample());
        site.fence(Policy::default());
        carried.enrol(&mut site, "lux-001");
        cast.connect(&mut site, &carried, "lux-001", nginx.port, 3600);
        assert_eq!(carried.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
        // The very same appliance twice: keys, state and all.
        let pulled = Appliance::new(AGENT);
        let mut copy = std::process::Command::new("cp");
        copy.arg("-a").args(["state", "keys"].map(|name| carried.path(name))).arg(pulled.path(""));
        assert!(copy.status().unwrap().success());

        site.reissue("group.clinics", "synapse/homeserver.yaml", b"server_name: other.example\n");
        assert_eq!(carried.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
        site.issue().publish(&nginx.tree());
        let daemon = Daemon::start(&pulled);
        until_receipts(&pulled, 2);
        drop(daemon);

        let (by_stick, by_pull) = (carried.receipts(), pulled.receipts());
        assert_eq!(by_stick.len(), 2);
        assert_eq!(by_pull[1].predicate.transport, Some(Transport::Pull));
        assert_ne!(by_stick[1].predicate.transport, by_pull[1].predicate.transport);
        let [by_stick, by_pull] =
            [by_stick, by_pull].map(|receipts| receipts.into_iter().map(plain).collect::<Vec<_>>());
        assert_eq!(by_stick, by_pull);
        let tree = |appliance: &Appliance| {
            let below = appliance.path("state/current/groups/clinics/");
            let files = files_below(&std::fs::canonicalize(&below).unwrap());
            files.into_iter().map(|(path, content)| (path.file_name().unwrap().to_owned(), content)).collect::<Vec<_>>()
        };
        assert_eq!(tree(&carried), tree(&pulled));
        assert_eq!(pulled.current("groups/clinics/synapse/homeserver.yaml").unwrap(), b"server_name: other.example\n");
    });
}

#[test]
fn a_bad_revocation_list_does_not_cost_the_way_to_the_repository() {
    at_the_depot(|| {
        let cast = Cast::default();
        let nginx = Nginx::start(&cast);
        let (appliance, mut site) = (Appliance::new(AGENT), Site::sample());
        site.fence(Policy::default());
        appliance.enrol(&mut site, "lux-001");
        cast.connect(&mut site, &appliance, "lux-001", nginx.port, 3600);
        assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
        let assignment = site.assignments.get_mut(&"lux-001".parse().unwrap()).unwrap();
        assignment.transport.as_mut().unwrap().crls = vec!["AAAA".into()];
        site.reissue("group.clinics", "synapse/homeserver.yaml", b"server_name: second.example\n");
        assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
        assert!(appliance.health().reasons.contains(&Code::TransportInvalid));
        // Whatever comes to mend it may come over the network: a process of its own still knows what worked.
        site.reissue("group.clinics", "synapse/homeserver.yaml", b"server_name: third.example\n");
        site.issue().publish(&nginx.tree());
        let daemon = Daemon::start(&appliance);
        until_receipts(&appliance, 3);
        drop(daemon);
        assert_eq!(appliance.receipts()[2].predicate.transport, Some(Transport::Pull));
    });
}

#[test]
fn a_file_of_several_parts_arrives_though_the_agent_is_killed_and_one_part_is_bad() {
    at_the_depot(|| {
        let figures = large::pull(AGENT, 3, 1);
        assert_eq!(figures.sent_after_repair, 64 << 20, "the repaired part, and no other");
    });
}
