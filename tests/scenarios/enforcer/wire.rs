//! What is on the wire: everything that a machine with the rules loaded sends, counted at the other end of its cable.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use casemate_agent::boundary::enforce::Wish;
use casemate_tests::namespace::{World, in_namespace, run};
use casemate_tests::repository::Site;

use super::machine::Machine;

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
