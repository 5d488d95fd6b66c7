//! What `ss` sees listening on the machine: nothing of the agent's but the listener a boundary names.

use std::cell::RefCell;
use std::collections::BTreeSet;

use casemate_protocol::boundary::Listen;
use casemate_protocol::code::Code;
use casemate_tests::appliance::Appliance;
use casemate_tests::depot::{Nginx, at_the_depot, free_port};
use casemate_tests::namespace::run;

use crate::first_bundle::enrolled;
use crate::transports::{APRIL, FILE, HOMESERVER, Mosquitto, Ports, cast, connected, until};

/// Port and program of every socket of this namespace that takes connections or datagrams.
type Listening = BTreeSet<(u16, String)>;

const AGENT: &str = "agent-under-test";

/// What listens now. `None` if somebody among them left or came while `ss` looked: it names sockets first and then looks
/// for who holds them.
fn listening() -> Option<Listening> {
    let said = run("ss", &["-Hlntup"]);
    let of = |line: &str| {
        let local = line.split_whitespace().nth(4).unwrap();
        let port = local.rsplit_once(':').unwrap().1.parse().unwrap();
        // A process that has started itself anew is called otherwise.
        let process = line.split("pid=").nth(1).and_then(|rest| rest.split(',').next())?;
        let program = std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
        Some((port, program.file_name()?.to_string_lossy().into_owned()))
    };
    said.lines().map(of).collect()
}

fn places(all: &[(u16, &str)]) -> Listening {
    all.iter().map(|(port, program)| (*port, (*program).to_owned())).collect()
}

/// What listens while the daemon runs, once it takes calls and `ready` says so.
fn while_running(appliance: &Appliance, ready: impl Fn() -> bool) -> Listening {
    let seen = RefCell::new(None);
    until(appliance, || {
        // Without a daemon the command would take its place.
        let answers = || appliance.command(&["status"]).output().unwrap().status.success();
        let reached = appliance.path("socket").exists() && ready() && answers();
        seen.replace(listening());
        reached && seen.borrow().is_some()
    });
    seen.into_inner().unwrap_or_default()
}

fn listens(port: u16) -> bool {
    listening().is_some_and(|all| all.contains(&(port, AGENT.into())))
}

fn is_connected(port: u16) -> bool {
    !run("ss", &["-Htn", "state", "established", "dport", "=", &format!(":{port}")]).is_empty()
}

#[test]
fn nothing_listens_but_the_listener_while_the_boundary_names_one() {
    at_the_depot(|| {
        // Without a boundary.
        let (alone, site) = enrolled();
        assert_eq!(alone.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
        assert_eq!(while_running(&alone, || true), places(&[]));

        // With a listener, while every transport runs.
        let cast = cast();
        let nginx = Nginx::start(&cast);
        let ports = Ports { repository: nginx.port, broker: free_port(), listener: free_port() };
        let folder = tempfile::tempdir().unwrap();
        let mosquitto = Mosquitto::start(&cast, folder.path(), ports.broker);
        let (appliance, mut site) = connected(&cast, &ports);
        site.reissue("group.clinics", FILE, APRIL);
        site.issue().publish(&nginx.tree());
        let everything = places(&[(ports.repository, "nginx"), (ports.broker, "mosquitto"), (ports.listener, AGENT)]);
        let april = || appliance.current(HOMESERVER).as_deref() == Some(APRIL);
        let talks = || is_connected(ports.broker) && listens(ports.listener);
        assert_eq!(while_running(&appliance, || april() && talks()), everything);

        // Narrowed: the peers stay, the listener goes.
        let servers = places(&[(ports.repository, "nginx"), (ports.broker, "mosquitto")]);
        site.refence(|policy| policy.listen = None);
        assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code.class(), Code::Applied.class());
        assert_eq!(while_running(&appliance, || is_connected(ports.broker)), servers);

        // Named again, with nobody there to talk to.
        drop(mosquitto);
        drop(nginx);
        let listen = Listen { port: ports.listener, from: vec!["10.20.0.0/16".parse().unwrap()] };
        site.refence(|policy| {
            policy.listen = Some(listen);
            policy.peers.clear();
        });
        assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code.class(), Code::Applied.class());
        let own = places(&[(ports.listener, AGENT)]);
        assert_eq!(while_running(&appliance, || listens(ports.listener)), own);
    });
}
