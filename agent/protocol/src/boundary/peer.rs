//! Peers: with whom the agent itself may talk.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::error::BoundaryError;
use super::network::Network;
use crate::device::id::Name;
use crate::digest::Digest;

/// What is spoken; both over TLS 1.3 over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerProtocol {
    /// HTTP/1.1.
    Https,
    /// MQTT 5.
    Mqtts,
}

/// What the peer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Bundles are pulled from it.
    Repository,
    /// Bundles, receipts and health pass through it.
    Broker,
    /// Receipts and health are handed to it; it confirms that it is reached.
    ControlPlane,
    /// Countersigns checkpoints of the journal.
    Witness,
}

/// SHA-256 digests of the peer's public key (SubjectPublicKeyInfo, DER): the one it has, and the one it will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// In use.
    pub current: Digest,
    /// Used after the peer's next change of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Digest>,
}

impl Pins {
    /// Both, or the one.
    pub fn iter(&self) -> impl Iterator<Item = Digest> {
        [Some(self.current), self.next].into_iter().flatten()
    }

    /// The pins in both, the other's current one first; `None` if there is none.
    fn intersection(&self, other: &Self) -> Option<Self> {
        let mut common = self.iter().filter(|pin| other.iter().any(|known| known == *pin));
        common.next().map(|current| Self { current, next: common.next() })
    }
}

/// One peer of the agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name on this appliance: configuration refers to peers by it, never by address.
    pub id: Name,
    /// What is spoken.
    pub protocol: PeerProtocol,
    /// Where: a literal, never a name.
    pub address: IpAddr,
    /// At which TCP port.
    pub port: u16,
    /// By which keys it is known.
    pub pins: Pins,
    /// What for.
    pub purpose: Purpose,
    /// A boundary that widens is given up again unless this peer is reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

impl Peer {
    /// Where to connect.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// The one address as a network.
    ///
    /// # Errors
    /// Not an address a boundary can name.
    pub fn network(&self) -> Result<Network, BoundaryError> {
        Network::host(self.address)
    }

    pub(super) fn check(&self) -> Result<(), BoundaryError> {
        self.network()?;
        if self.port == 0 {
            return Err(BoundaryError::Item { item: self.to_string(), why: "0 is no port" });
        }
        Ok(())
    }

    fn is_at(&self, other: &Self) -> bool {
        (self.protocol, self.address, self.port) == (other.protocol, other.address, other.port)
    }

    /// Whether talking to `other` is talking to this peer.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.is_at(other) && other.pins.iter().all(|pin| self.pins.iter().any(|known| known == pin))
    }

    /// This peer with the pins that `other` knows too.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let pins = if self.is_at(other) { self.pins.intersection(&other.pins) } else { None };
        pins.map(|pins| Self { pins, ..self.clone() })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            PeerProtocol::Https => "https",
            PeerProtocol::Mqtts => "mqtts",
        };
        write!(f, "peer {} {protocol} {}", self.id, self.socket())
    }
}
