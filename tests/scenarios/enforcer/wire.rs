//! What is on the wire: everything that a machine with the rules loaded sends, counted at the other end of its cable.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use casemate_agent::boundary::enforce::Wish;
use casemate_tests::namespace::{World, in_namespace, run};
use casemate_tests::repository::Site;

use super::machine::{AGENT, Machine};

/// How long an idle machine is listened to. One without rules is heard within it.
const LISTEN: Duration = Duration::from_secs(5);

fn plug_in() {
    for device in ["lo", "eth0"] {
        let _up = run("ip", &["link", "set", device, "up"]);
    }
}

/// Frames heard until there is one, or the time is over.
fn heard(world: &World) -> u64 {
    let before = Instant::now();
    while world.frames() == 0 && before.elapsed() < LISTEN {}
    world.frames()
}

#[test]
fn an_idle_machine_sends_no_frame_and_without_the_rules_it_does() {
    in_namespace(|| {
        let world = World::wired();
        let machine = Machine::new();
        machine.enforcer().enforce(Wish::DenyAll).unwrap();
        plug_in();
        assert_eq!(heard(&world), 0);
        let addresses = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        assert!(addresses.contains("eth0"), "IPv6 is up: {addresses}");
        let chatter = run("nft", &["list", "counter", "inet", "casemate", "chatter_out"]);
        assert!(!chatter.contains("packets 0 "), "the kernel tried: {chatter}");
        for family in ["inet", "arp", "netdev"] {
            let _gone = run("nft", &["delete", "table", family, "casemate"]);
        }
        let _down = run("ip", &["link", "set", "eth0", "down"]);
        plug_in();
        assert!(heard(&world) > 0, "a machine without rules is heard");
    });
}

/// Answers each byte with itself, one connection.
const ECHO: &str = "
import socket
server = socket.create_server(('10.20.1.1', 8448))
print('ready', flush=True)
stream = server.accept()[0]
while byte := stream.recv(1):
    stream.sendall(byte)
";

#[test]
fn a_narrower_policy_cuts_a_connection_that_runs() {
    in_namespace(|| {
        let world = World::wired();
        let mut site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        machine.enforce();
        plug_in();
        let _address = run("ip", &["address", "add", "10.20.1.2/24", "dev", "eth0"]);
        let mut server = world.command("python3").args(["-c", ECHO]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a workload of the test")]
        let mut stream = TcpStream::connect("10.20.1.1:8448").unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut answer = [0; 1];
        stream.write_all(b"a").unwrap();
        stream.read_exact(&mut answer).unwrap();
        site.refence(|policy| policy.flows.clear());
        machine.offer(&site);
        machine.enforce();
        let frames = world.frames();
        stream.write_all(b"b").unwrap();
        let cut = stream.read_exact(&mut answer).unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(world.frames(), frames, "not one frame more");
        let dropped = run("nft", &["list", "counter", "inet", "casemate", "dropped_out"]);
        assert!(!dropped.contains("packets 0 "), "{dropped}");
        server.kill().and_then(|()| server.wait()).unwrap();
    });
}

/// Listens as the user named by the first argument at 9443, says so, and answers each connection's byte with itself.
const LISTENER: &str = "
import os, socket, sys
os.setuid(int(sys.argv[1]))
server = socket.create_server(('10.20.1.2', 9443))
print('ready', flush=True)
while True:
    stream = server.accept()[0]
    while byte := stream.recv(1):
        stream.sendall(byte)
";
/// Connects, and echoes one byte for each it is told to; `none` if there is no connection or no answer.
const CALLER: &str = "
import socket, sys
stream = socket.socket()
stream.settimeout(1)
try:
    stream.bind((sys.argv[1], 0))
    stream.connect(('10.20.1.2', int(sys.argv[2])))
    for line in ['first'] + sys.argv[3:]:
        if line == 'wait':
            print('in', flush=True)
            sys.stdin.readline()
        stream.sendall(b'x')
        assert stream.recv(1) == b'x'
    print('answered')
except (TimeoutError, OSError, AssertionError):
    print('none')
";

#[test]
fn the_listener_answers_the_networks_it_names_as_the_agent_alone_and_no_longer_than_the_policy_says() {
    in_namespace(|| {
        let world = World::wired();
        let mut site = Site::fenced();
        let listen = serde_json::json!({ "port": 9443, "from": ["10.20.1.1"] });
        site.refence(|policy| {
            policy.flows.clear();
            policy.listen = Some(serde_json::from_value(listen.clone()).unwrap());
        });
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        machine.enforce();
        plug_in();
        let _address = run("ip", &["address", "add", "10.20.1.2/24", "dev", "eth0"]);
        let far = world.command("ip").args(["address", "add", "10.20.1.9/24", "dev", "world"]).status().unwrap();
        assert!(far.success());
        let listening = |user: u32| {
            let user = user.to_string();
            let mut server =
                Command::new("python3").args(["-c", LISTENER, &user]).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            server
        };
        let call = |from: &str, port: &str| {
            let output = world.command("python3").args(["-c", CALLER, from, port]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let mut server = listening(AGENT);
        assert_eq!(call("10.20.1.1", "9443"), "answered\n");
        assert_eq!(call("10.20.1.9", "9443"), "none\n", "another network");
        assert_eq!(call("10.20.1.1", "9444"), "none\n", "another port");
        let mut caller = world
            .command("python3")
            .args(["-c", CALLER, "10.20.1.1", "9443", "wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(caller.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "in\n");
        site.refence(|policy| policy.listen = None);
        machine.offer(&site);
        machine.enforce();
        caller.stdin.take().unwrap().write_all(b"\n").unwrap();
        line.clear();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "none\n", "what ran is cut");
        let _ended = caller.wait().unwrap();
        server.kill().and_then(|()| server.wait()).unwrap();
        site.refence(|policy| policy.listen = Some(serde_json::from_value(listen.clone()).unwrap()));
        machine.offer(&site);
        machine.enforce();
        let mut stranger = listening(AGENT + 1);
        assert_eq!(call("10.20.1.1", "9443"), "none\n", "another user has the port");
        stranger.kill().and_then(|()| stranger.wait()).unwrap();
    });
}
