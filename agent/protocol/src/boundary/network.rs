//! Networks as written in boundary documents: an address with a prefix length (RFC 4632, RFC 4291 §2.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::BoundaryError;

/// A unicast network; a single address is one of full length. `10.20.0.0/16`, `fd00:1::/32`, `10.20.0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    length: u8,
}

/// Loopback, link-local, multicast, unspecified and mapped addresses, and those that IPv4 reserves (RFC 6890). A network
/// that holds some of them cannot be written either: half of everything is too much as well.
const LEAVES_NO_MACHINE: [Network; 9] = [
    Network::v4([0, 0, 0, 0], 8),
    Network::v4([127, 0, 0, 0], 8),
    Network::v4([169, 254, 0, 0], 16),
    Network::v4([224, 0, 0, 0], 3),
    Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    Network::v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    Network::v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    Network::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    Network::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

impl Network {
    const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Self {
        Self { first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length }
    }

    const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], length: u8) -> Self {
        Self { first: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), length }
    }

    /// The network of one address.
    ///
    /// # Errors
    /// The address is not one that a boundary can name: see [`FromStr`].
    pub fn host(address: IpAddr) -> Result<Self, BoundaryError> {
        Self::new(address, if address.is_ipv4() { 32 } else { 128 })
    }

    fn new(first: IpAddr, length: u8) -> Result<Self, BoundaryError> {
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let refuse = |why| BoundaryError::Network { text: format!("{first}/{length}"), why };
        if length > bits {
            return Err(refuse("the prefix is longer than the address"));
        }
        let network = Self { first, length };
        if network.masked(first) != number(first) {
            return Err(refuse("bits are set behind the prefix"));
        }
        if LEAVES_NO_MACHINE.iter().any(|special| network.intersection(special).is_some()) {
            return Err(refuse("loopback, link-local, multicast, unspecified and mapped addresses leave no machine"));
        }
        Ok(network)
    }

    /// The first address.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// Bits of the prefix.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether the network is of IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.first.is_ipv6()
    }

    /// Whether every address of `other` is in this network.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.is_ipv6() == other.is_ipv6()
            && self.length <= other.length
            && self.masked(other.first) == number(self.first)
    }

    /// Whether `address` is in this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.is_ipv6() == address.is_ipv6() && self.masked(address) == number(self.first)
    }

    /// The addresses in both: networks never overlap in part.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.covers(other) { Some(*other) } else { other.covers(self).then_some(*self) }
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let host = bits - u32::from(self.length);
        // A shift by the whole width is no shift in Rust.
        number(address).checked_shr(host).and_then(|kept| kept.checked_shl(host)).unwrap_or(0)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

impl FromStr for Network {
    type Err = BoundaryError;

    /// No bits behind the prefix; no loopback, link-local, multicast, unspecified or IPv4-mapped addresses in it. So
    /// `0.0.0.0/0`, everything there is, cannot be written, nor can half of it.
    fn from_str(text: &str) -> Result<Self, BoundaryError> {
        let refuse = || BoundaryError::Network {
            text: text.chars().take(80).collect(),
            why: "an IP address, with a prefix length if it is more than one",
        };
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => (address, Some(length)),
        };
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let Some(length) = length else { return Self::host(address) };
        if length.len() > 1 && length.starts_with('0') || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse());
        }
        Self::new(address, length.parse().map_err(|_| refuse())?)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.is_ipv6() { 128 } else { 32 };
        match self.length {
            length if length == whole => write!(f, "{}", self.first),
            length => write!(f, "{}/{length}", self.first),
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
