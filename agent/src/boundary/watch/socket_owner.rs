//! Which control group a socket belongs to (sock_diag(7)).

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::SockProtocol;

use super::attributes::{attributes, messages, request};
use super::netlink::{BUFFER, Netlink, REQUEST};

/// `SOCK_DIAG_BY_FAMILY`, as request and as answer.
const BY_FAMILY: u16 = 20;
/// Bytes of an answer before its attributes (`struct inet_diag_msg`).
const ANSWER: usize = 72;
/// The attribute with the control group's number (`INET_DIAG_CGROUP_ID`).
const CONTROL_GROUP: u16 = 21;
/// Whatever its state; whatever its cookie.
const ANY: [u8; 4] = [0xff; 4];

/// The kernel's table of sockets. Asking needs no rights.
#[derive(Debug)]
pub(super) struct Sockets(Netlink);

impl Sockets {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(Netlink::open(SockProtocol::NetlinkSockDiag)?))
    }

    /// The control group of the TCP or UDP socket between `own` and `other`, if there is one still.
    pub(super) fn control_group(&self, is_tcp: bool, own: SocketAddr, other: SocketAddr) -> Option<u64> {
        self.0.tell(&question(is_tcp, own, other)).ok()?;
        let mut buffer = vec![0; BUFFER];
        let mut found = None;
        while let Ok(Some(answer)) = self.0.hear(&mut buffer) {
            found = found.or_else(|| control_group(answer));
        }
        found
    }
}

fn question(is_tcp: bool, own: SocketAddr, other: SocketAddr) -> Vec<u8> {
    // The kernel looks a UDP socket up as an arriving packet is, so that its source is the other end.
    let (first, second) = if is_tcp { (own, other) } else { (other, own) };
    // AF_INET or AF_INET6; IPPROTO_TCP or IPPROTO_UDP; no attributes beyond those that always come.
    let mut body = vec![if own.is_ipv4() { 2 } else { 10 }, if is_tcp { 6 } else { 17 }, 0, 0];
    body.extend(ANY);
    body.extend(first.port().to_be_bytes());
    body.extend(second.port().to_be_bytes());
    for address in [first.ip(), second.ip()] {
        let mut bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        bytes.resize(16, 0);
        body.extend(bytes);
    }
    // Any device.
    body.extend([0; 4]);
    body.extend([ANY, ANY].concat());
    request(BY_FAMILY, REQUEST, &body)
}

fn control_group(answer: &[u8]) -> Option<u64> {
    let body = messages(answer).find(|message| message.kind == BY_FAMILY)?.body;
    let (_, value) = attributes(body.get(ANSWER..)?).find(|(kind, _)| *kind == CONTROL_GROUP)?;
    Some(u64::from_ne_bytes(*value.first_chunk()?))
}

#[cfg(test)]
mod tests;
