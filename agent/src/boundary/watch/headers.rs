//! The beginning of a packet: addresses, protocol, ports (RFC 791, RFC 8200).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Extension headers of an honest IPv6 packet.
const MAX_EXTENSIONS: usize = 8;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Extension headers whose second byte is their length: hop by hop, routing, destination, mobility.
const EXTENSIONS: [u8; 4] = [0, 43, 60, 135];
const FRAGMENT: u8 = 44;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Headers {
    /// Its sender's address.
    pub(super) source: IpAddr,
    /// Its destination.
    pub(super) destination: IpAddr,
    /// Number of what it carries (IANA protocol numbers).
    pub(super) protocol: u8,
    /// Source and destination port, where there are any and they are in this packet.
    pub(super) ports: Option<(u16, u16)>,
}

impl Headers {
    /// Reads as much as is there of `packet`.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::read_v4(packet),
            6 => Self::read_v6(packet),
            _ => None,
        }
    }

    fn read_v4(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; 20] = packet.first_chunk()?;
        let length = usize::from(fixed[0] & 0xf) * 4;
        let is_first = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff == 0;
        let address = |at: usize| fixed[at..].first_chunk::<4>().map(|bytes| IpAddr::V4(Ipv4Addr::from(*bytes)));
        let protocol = fixed[9];
        let payload = packet.get(length.max(20)..).filter(|_| is_first);
        Some(Self { source: address(12)?, destination: address(16)?, protocol, ports: ports(protocol, payload) })
    }

    fn read_v6(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; 40] = packet.first_chunk()?;
        let address = |at: usize| fixed[at..].first_chunk::<16>().map(|bytes| IpAddr::V6(Ipv6Addr::from(*bytes)));
        let (mut protocol, mut payload) = (fixed[6], packet.get(40..));
        for _ in 0..MAX_EXTENSIONS {
            let Some([next, length, third, fourth, ..]) = payload else { break };
            let skipped = match protocol {
                _ if EXTENSIONS.contains(&protocol) => (usize::from(*length) + 1) * 8,
                FRAGMENT if u16::from_be_bytes([*third, *fourth]) >> 3 == 0 => 8,
                FRAGMENT => {
                    (protocol, payload) = (*next, None);
                    break;
                }
                _ => break,
            };
            (protocol, payload) = (*next, payload.and_then(|payload| payload.get(skipped..)));
        }
        Some(Self { source: address(8)?, destination: address(24)?, protocol, ports: ports(protocol, payload) })
    }

    /// The protocol as a word.
    pub(super) fn protocol_name(&self) -> String {
        match self.protocol {
            TCP => "tcp".into(),
            UDP => "udp".into(),
            1 => "icmp".into(),
            58 => "icmpv6".into(),
            number => number.to_string(),
        }
    }

    /// Whether it is of TCP; else, if it has ports, of UDP.
    pub(super) fn is_tcp(&self) -> bool {
        self.protocol == TCP
    }
}

fn ports(protocol: u8, payload: Option<&[u8]>) -> Option<(u16, u16)> {
    let [a, b, c, d, ..] = payload.filter(|_| [TCP, UDP].contains(&protocol))? else { return None };
    Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 9];
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet.extend(payload);
        packet
    }

    fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("2001:db8::9".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(payload);
        packet
    }

    const PORTS: [u8; 8] = [0x9c, 0x40, 0, 53, 0, 8, 0, 0];

    type Told = (String, String, Option<(u16, u16)>);

    fn told(packet: &[u8]) -> Option<Told> {
        Headers::read(packet).map(|headers| (headers.protocol_name(), headers.destination.to_string(), headers.ports))
    }

    #[test]
    fn addresses_protocol_and_ports_are_read() {
        let expect = |protocol: &str, address: &str, ports| Some((protocol.into(), address.into(), ports));
        let ports = Some((40000, 53));
        assert_eq!(told(&v4(17, 0x4000, &PORTS)), expect("udp", "192.0.2.9", ports));
        assert_eq!(told(&v4(6, 0, &PORTS)), expect("tcp", "192.0.2.9", ports));
        assert_eq!(told(&v4(1, 0, &PORTS)), expect("icmp", "192.0.2.9", None));
        assert_eq!(told(&v4(132, 0, &PORTS)), expect("132", "192.0.2.9", None));
        assert_eq!(told(&v6(17, &PORTS)), expect("udp", "2001:db8::9", ports));
        assert_eq!(told(&v6(58, &PORTS)), expect("icmpv6", "2001:db8::9", None));
        let options = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &PORTS].concat();
        assert_eq!(told(&v6(0, &options)), expect("udp", "2001:db8::9", ports));
        // Options of IPv4 before the ports.
        let mut longer = v4(17, 0, &[&[1; 4][..], &PORTS].concat());
        longer[0] = 0x46;
        assert_eq!(told(&longer), expect("udp", "192.0.2.9", ports));
    }

    #[test]
    fn later_fragments_have_no_ports() {
        assert_eq!(told(&v4(17, 0x2001, &PORTS)).unwrap().2, None);
        let later = [&[17, 0, 0, 9, 0, 0, 0, 0][..], &PORTS].concat();
        assert_eq!(told(&v6(44, &later)).unwrap().2, None);
        let first = [&[17, 0, 0, 1, 0, 0, 0, 0][..], &PORTS].concat();
        assert_eq!(told(&v6(44, &first)).unwrap().2, Some((40000, 53)));
    }

    #[test]
    fn what_breaks_off_or_lies_about_its_length_is_read_as_far_as_it_goes() {
        for packet in [v4(17, 0, &PORTS), v6(17, &PORTS), v6(0, &[0, 255, 0, 0])] {
            let fixed = if packet[0] >> 4 == 4 { 20 } else { 40 };
            for cut in 0..packet.len() {
                assert_eq!(Headers::read(&packet[..cut]).is_some(), cut >= fixed, "{cut}");
            }
        }
        let mut short = v4(17, 0, &PORTS);
        short[0] = 0x40;
        assert_eq!(told(&short).unwrap().2, Some((40000, 53)), "a header is never shorter than 20 bytes");
        let endless = v6(0, &[0; 200]);
        assert_eq!(told(&endless).unwrap().0, "0");
        assert_eq!(Headers::read(&[0x75; 64]), None);
    }
}
