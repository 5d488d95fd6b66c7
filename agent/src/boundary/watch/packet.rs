//! A message of the kernel's packet log (`linux/netfilter/nfnetlink_log.h`).

use std::net::{IpAddr, SocketAddr};

use super::attributes::attributes;
use super::headers::Headers;
use crate::boundary::drops::DropDirection;

/// Bytes before the attributes: family, version, group.
const PREAMBLE: usize = 4;
/// Attributes: the network devices, the packet's beginning, the sender's user, the message's number.
const IN_DEVICE: u16 = 4;
const OUT_DEVICE: u16 = 5;
const PAYLOAD: u16 = 9;
const UID: u16 = 11;
const SEQUENCE: u16 = 12;

/// What the kernel tells of one stopped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// The number of this message since the group was bound: gaps are packets nobody was told of.
    pub(super) sequence: Option<u32>,
    /// The user of the socket it came from.
    pub(super) uid: Option<u32>,
    /// Which way it went.
    pub(super) direction: DropDirection,
    /// Where from and where to.
    pub(super) headers: Headers,
}

impl Packet {
    /// Reads the body of a message. `None`: it is of no packet that can be told of.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (mut inwards, mut outwards, mut headers) = (false, false, None);
        let (mut uid, mut sequence) = (None, None);
        for (kind, value) in attributes(body.get(PREAMBLE..)?) {
            let number = || value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
            match kind {
                IN_DEVICE => inwards = true,
                OUT_DEVICE => outwards = true,
                PAYLOAD => headers = Headers::read(value),
                UID => uid = number(),
                SEQUENCE => sequence = number(),
                _ => {}
            }
        }
        let direction = match (inwards, outwards) {
            (true, true) => DropDirection::Forward,
            (true, false) => DropDirection::In,
            (false, _) => DropDirection::Out,
        };
        Some(Self { sequence, uid, direction, headers: headers? })
    }

    /// The other end: whom it was from, if it came in, else whom it was for.
    pub(super) fn address(&self) -> IpAddr {
        if self.direction == DropDirection::In { self.headers.source } else { self.headers.destination }
    }

    /// The port asked for, whoever has it.
    pub(super) fn port(&self) -> Option<u16> {
        self.headers.ports.map(|(_, port)| port)
    }

    /// Both ends of a packet that left a socket of this machine: its own, the other.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (own, other) = self.headers.ports.filter(|_| self.direction == DropDirection::Out)?;
        Some((SocketAddr::new(self.headers.source, own), SocketAddr::new(self.headers.destination, other)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::{attribute, messages};
    use super::*;

    /// As Linux 6.18 tells of it: a UDP packet of uid 1000 to 192.0.2.9:53, dropped in the output chain.
    fn told() -> Vec<u8> {
        let mut payload = vec![0x45, 0, 0, 29, 0x12, 0x34, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9];
        payload.extend([0x9c, 0x40, 0, 53, 0, 9, 0, 0, b'x']);
        let mut body = vec![2, 0, 0, 53];
        body.extend(attribute(1, &[8, 0, 3, 0]));
        body.extend(attribute(10, b"out \0"));
        body.extend(attribute(5, &1_u32.to_be_bytes()));
        body.extend(attribute(11, &1000_u32.to_be_bytes()));
        body.extend(attribute(14, &1000_u32.to_be_bytes()));
        body.extend(attribute(12, &7_u32.to_be_bytes()));
        body.extend(attribute(9, &payload));
        body
    }

    #[test]
    fn a_stopped_packet_is_told_with_its_sender() {
        let packet = Packet::read(&told()).unwrap();
        assert_eq!((packet.uid, packet.sequence, packet.direction), (Some(1000), Some(7), DropDirection::Out));
        assert_eq!((packet.address().to_string(), packet.port()), ("192.0.2.9".into(), Some(53)));
        let (own, other) = packet.ends().unwrap();
        assert_eq!((own.to_string(), other.to_string()), ("192.0.2.1:40000".into(), "192.0.2.9:53".into()));
    }

    #[test]
    fn the_devices_tell_the_direction() {
        let with = |devices: &[u16]| {
            let mut body = vec![2, 0, 0, 53];
            devices.iter().for_each(|kind| body.extend(attribute(*kind, &[0, 0, 0, 1])));
            body.extend(attribute(9, &[&[0x45][..], &[0; 19]].concat()));
            Packet::read(&body).unwrap().direction
        };
        assert_eq!(with(&[4]), DropDirection::In);
        assert_eq!(with(&[5]), DropDirection::Out);
        assert_eq!(with(&[4, 5]), DropDirection::Forward);
        assert_eq!(with(&[]), DropDirection::Out);
    }

    #[test]
    fn no_bytes_make_the_reader_fail() {
        let whole = told();
        for cut in 0..whole.len() {
            let _read = Packet::read(&whole[..cut]);
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _read = Packet::read(&bytes);
                assert!(messages(&bytes).count() <= 1);
            }
        }
        assert_eq!(Packet::read(&[]), None);
    }
}
