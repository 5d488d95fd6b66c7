//! The twelve ways out. Every address is of a documentation range, so nothing real is reached wherever this runs.
#![expect(clippy::disallowed_methods, reason = "this is what the bans keep out of the agent")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, sendto, socket};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::layer::Door;

/// The peer that the proof's policy names (`tests/egress/policy.py`).
pub(crate) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 20, 0, 5)), 8443);
/// A machine that no policy names (RFC 5737).
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// A resolver that no policy names.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// A machine that no policy names (RFC 3849).
const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
/// `IPPROTO_MPTCP` of linux/in.h and `SOCK_RAW` of linux/net.h: `socket2` names them only with a feature that every
/// crate of a common build would get.
const MPTCP: i32 = 262;
const RAW: i32 = 3;
/// Who accepts nothing within this time was not reached.
const PATIENCE: Duration = Duration::from_secs(1);

/// One way to phone home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leak {
    /// A resolver is asked for a name.
    Dns,
    /// A datagram to a collector.
    Udp,
    /// An echo request with a payload.
    Icmp,
    /// A connection over IPv6, where the policy knows only IPv4.
    Ipv6,
    /// The right machine, another port.
    WrongPort,
    /// Another machine, the right port.
    WrongHost,
    /// A connection by Multipath TCP.
    Mptcp,
    /// A connection opened by the first data sent.
    Fastopen,
    /// A frame straight onto the wire.
    AfPacket,
    /// A child that outlives its parent connects.
    OrphanedChild,
    /// The peer's answer says to ask elsewhere, and it does.
    RedirectFollowed,
    /// The environment names a proxy, and it asks there.
    ProxyVariable,
}

impl FromStr for Leak {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "dns" => Self::Dns,
            "udp" => Self::Udp,
            "icmp" => Self::Icmp,
            "ipv6" => Self::Ipv6,
            "wrong-port" => Self::WrongPort,
            "wrong-host" => Self::WrongHost,
            "mptcp" => Self::Mptcp,
            "fastopen" => Self::Fastopen,
            "af-packet" => Self::AfPacket,
            "orphaned-child" => Self::OrphanedChild,
            "redirect-followed" => Self::RedirectFollowed,
            "proxy-variable" => Self::ProxyVariable,
            other => return Err(format!("no leak is called {other}")),
        })
    }
}

impl Leak {
    /// Leaks once. With a door, what our own code could only do through it goes through it.
    pub(crate) fn attempt(self, door: Option<&Door>) -> io::Result<()> {
        match self {
            Self::Dns => datagram(SocketAddr::new(RESOLVER.into(), 53), &question("telemetry.example.org")),
            Self::Udp => datagram(SocketAddr::new(OUTSIDE.into(), 4789), b"casemate-leaker"),
            Self::Icmp => echo_request(),
            Self::Ipv6 => stream(SocketAddr::new(OUTSIDE_V6.into(), 443), door),
            Self::WrongPort => stream(SocketAddr::new(PEER.ip(), 9443), door),
            Self::WrongHost => stream(SocketAddr::new(OUTSIDE.into(), PEER.port()), door),
            Self::Mptcp => connect(SocketAddr::new(OUTSIDE.into(), 443), Protocol::from(MPTCP)).map(drop),
            Self::Fastopen => fast_open(SocketAddr::new(OUTSIDE.into(), 443)),
            Self::AfPacket => frame(),
            Self::OrphanedChild => orphan(),
            Self::RedirectFollowed => follow(door),
            Self::ProxyVariable => ask_proxy(door),
        }
    }
}

/// One attempt at a port of this machine, which sends no frame; who traces must see it.
pub(crate) fn canary(port: u16) -> io::Result<()> {
    connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port), Protocol::TCP).map(drop)
}

fn stream(to: SocketAddr, door: Option<&Door>) -> io::Result<()> {
    match door {
        Some(door) => door.reach(to),
        None => connect(to, Protocol::TCP)?.write_all(b"GET / HTTP/1.1\r\nHost: telemetry.example.org\r\n\r\n"),
    }
}

pub(crate) fn connect(to: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(protocol))?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn datagram(to: SocketAddr, payload: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    socket.send_to(payload, &to.into()).map(drop)
}

/// A question for the address of `name` (RFC 1035 §4.1).
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0xca, 0x5e, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.extend(u8::try_from(label.len()));
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// An ICMP echo request with a payload; its checksum comes out as zero minus the sum of its words (RFC 792).
fn echo_request() -> io::Result<()> {
    let mut message = vec![8, 0, 0, 0, 0xca, 0x5e, 0, 1];
    message.extend(b"casemate-leaker!");
    let sum: u32 = message.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = (!((folded & 0xffff) + (folded >> 16)) & 0xffff).to_be_bytes();
    message[2..4].copy_from_slice(&[high, low]);
    let socket = Socket::new(Domain::IPV4, Type::from(RAW), Some(Protocol::ICMPV4))?;
    socket.send_to(&message, &SockAddr::from(SocketAddr::new(OUTSIDE.into(), 0))).map(drop)
}

fn fast_open(to: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let address: nix::sys::socket::SockaddrStorage = to.into();
    // linux/socket.h; not among nix's flags.
    let fast_open = MsgFlags::from_bits_retain(0x2000_0000);
    sendto(socket.as_raw_fd(), b"casemate-leaker", &address, fast_open)?;
    Ok(())
}

/// A broadcast frame of an experimental ethertype (IEEE 802 local experimental 2) on the first real interface.
fn frame() -> io::Result<()> {
    let link = getifaddrs()?
        .filter(|interface| !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK))
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::other("no interface"))?;
    let wire = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let mut bytes = vec![0xff; 6];
    bytes.extend(link.addr().unwrap_or_default());
    bytes.extend([0x88, 0xb6]);
    bytes.extend([0xca; 46]);
    sendto(wire.as_raw_fd(), &bytes, &link, MsgFlags::empty())?;
    Ok(())
}

/// Starts this program again, which then finds its parent gone: by the time it reads the end of the pipe, nobody waits.
fn orphan() -> io::Result<()> {
    let mut child = Command::new("/proc/self/exe");
    child.args(["wrong-host"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Not waited for: outliving this process is the point.
    child.spawn().map(drop)
}

fn follow(door: Option<&Door>) -> io::Result<()> {
    let mut socket = connect(PEER, Protocol::TCP)?;
    socket.write_all(b"GET / HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    Read::by_ref(&mut socket).take(4096).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let location = answer.lines().find_map(|line| line.strip_prefix("Location: http://"));
    let host = location.and_then(|rest| rest.split('/').next()).ok_or_else(|| io::Error::other("no redirect came"))?;
    let address = host.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 80)).map_err(io::Error::other)?;
    stream(address, door)
}

fn ask_proxy(door: Option<&Door>) -> io::Result<()> {
    let proxy = std::env::var("HTTPS_PROXY").map_err(|_| io::Error::other("no proxy is named"))?;
    let address = proxy.trim_start_matches("http://").parse().map_err(io::Error::other)?;
    stream(address, door)
}
