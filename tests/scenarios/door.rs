//! The door: whom the agent connects to, in a network namespace with an address that boundaries can name.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use casemate_agent::boundary::connect::Door;
use casemate_protocol::boundary::{Peer, PeerProtocol, Pins, Policy, Purpose};
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The stage's address.
const HERE: &str = "192.0.2.1";
const LONG: Duration = Duration::from_secs(3600);

/// Runs `work` where [`HERE`] is an address of this machine: in a process of its own, in a namespace of its own, which
/// runs this same test again.
fn on_stage(test: &str, work: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if runtime.block_on(TcpListener::bind((HERE, 0))).is_ok() {
        return runtime.block_on(work());
    }
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = format!("ip link set lo up && ip addr add {HERE}/32 dev lo && echo staged && exec \"$@\"");
    let output = unshare.args(["--net", "sh", "-c", &script, "sh"]).arg(std::env::current_exe().unwrap());
    let output = output.args(["--exact", test, "--nocapture"]).output().unwrap();
    if output.stdout.starts_with(b"staged") {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    } else {
        eprintln!("skipped: network namespaces cannot be made here");
    }
}

fn policy(peers: &[(&str, SocketAddr)]) -> Arc<Policy> {
    let pins = Pins { current: Digest::of(b"key"), next: None };
    let peers = peers.iter().map(|(id, at)| Peer {
        id: name(id),
        protocol: PeerProtocol::Https,
        address: at.ip(),
        port: at.port(),
        pins,
        purpose: Purpose::Repository,
        required: false,
    });
    Arc::new(Policy { peers: peers.collect(), ..Policy::default() })
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn listener(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Whether somebody knocked: the kernel accepts on this machine before `connect` returns.
async fn is_quiet(listener: &TcpListener) -> bool {
    tokio::select! {
        biased;
        _ = listener.accept() => false,
        () = tokio::task::yield_now() => true,
    }
}

#[test]
fn the_door_leads_to_the_peers_of_the_policy_and_to_nobody_else() {
    on_stage("door::the_door_leads_to_the_peers_of_the_policy_and_to_nobody_else", async || {
        let (control, at) = listener(HERE).await;
        let (other, elsewhere) = listener(HERE).await;
        let (local, loopback) = listener("127.0.0.1").await;
        let mapped = SocketAddr::new("::ffff:192.0.2.1".parse().unwrap(), elsewhere.port());
        let any = SocketAddr::new("0.0.0.0".parse().unwrap(), elsewhere.port());
        let door = Door::new(policy(&[("control", at), ("local", loopback), ("mapped", mapped), ("any", any)]));
        let stream = door.peer(&name("control")).await.unwrap();
        assert_eq!((stream.peer_addr().unwrap(), stream.nodelay().unwrap()), (at, true));
        assert!(!is_quiet(&control).await);
        for refused in ["other", "local", "mapped", "any", "control-2"] {
            let error = door.peer(&name(refused)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{refused}");
        }
        assert!(is_quiet(&other).await && is_quiet(&local).await && is_quiet(&control).await);
        door.clone().replace(policy(&[("control", elsewhere)]));
        assert_eq!(door.peer(&name("control")).await.unwrap().peer_addr().unwrap(), elsewhere);
        door.replace(Arc::default());
        assert_eq!(door.peer(&name("control")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert!(is_quiet(&control).await);
    });
}

/// An address where nobody answers: its queue is full. Both must stay.
async fn silent() -> (SocketAddr, tokio::net::TcpListener, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(HERE.parse().unwrap(), 0)).unwrap();
    let listener = socket.listen(0).unwrap();
    let at = listener.local_addr().unwrap();
    let filler = Door::new(policy(&[("filler", at)])).peer(&name("filler")).await.unwrap();
    (at, listener, filler)
}

#[test]
fn a_peer_that_is_silent_is_given_up_in_time() {
    on_stage("door::a_peer_that_is_silent_is_given_up_in_time", async || {
        let (at, _listener, _filler) = silent().await;
        let door = Door::new(policy(&[("control", at)])).with_limit(Duration::from_millis(50));
        assert_eq!(door.peer(&name("control")).await.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_narrower_policy_ends_what_is_under_way() {
    on_stage("door::a_narrower_policy_ends_what_is_under_way", async || {
        let (at, _listener, _filler) = silent().await;
        let (control, other) = (("control", at), ("other", "192.0.2.7:1".parse().unwrap()));
        let door = Door::new(policy(&[control, other])).with_limit(LONG);
        let id = name(control.0);
        let waiting = door.peer(&id);
        tokio::pin!(waiting);
        let mut is_waiting = async || {
            tokio::select! {
                biased;
                _ = &mut waiting => false,
                () = tokio::task::yield_now() => true,
            }
        };
        assert!(is_waiting().await);
        door.replace(policy(&[control]));
        assert!(is_waiting().await, "what stays allowed goes on");
        door.replace(policy(&[other]));
        assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    });
}
