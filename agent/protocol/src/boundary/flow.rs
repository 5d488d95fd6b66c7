//! Flows: what workloads on the appliance may exchange with networks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::BoundaryError;
use super::network::Network;
use crate::device::id::{Name, Owner};

/// Who opens the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The network: the appliance listens.
    In,
    /// The appliance.
    Out,
}

/// What is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6 echo: `ping`.
    Echo,
}

/// A range of ports, both ends included: `8448`, `8000-8010`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// The lowest port.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub fn last(&self) -> u16 {
        self.last
    }

    fn covers(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    fn intersection(&self, other: &Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }
}

impl FromStr for Ports {
    type Err = BoundaryError;

    fn from_str(text: &str) -> Result<Self, BoundaryError> {
        let refuse = || BoundaryError::Ports(text.chars().take(40).collect());
        let port = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
            text.parse::<u16>().ok().filter(|_| plain).ok_or_else(refuse)
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first > last { Err(refuse()) } else { Ok(Self { first, last }) }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One exchange that workloads may have. The agent itself talks to peers only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// What for, in a word.
    pub purpose: Name,
    /// Who opens it.
    pub direction: Direction,
    /// What is exchanged.
    pub protocol: FlowProtocol,
    /// With whom.
    pub network: Network,
    /// At which ports of whoever is reached; none with `echo`, never none otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Ports>,
    /// The tenant it is for, who may narrow it; none = the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl Flow {
    pub(super) fn check(&self) -> Result<(), BoundaryError> {
        let why = match (self.protocol, self.ports) {
            (FlowProtocol::Echo, Some(_)) => "echo has no ports",
            (FlowProtocol::Tcp | FlowProtocol::Udp, None) => "ports are missing",
            _ => return Ok(()),
        };
        Err(BoundaryError::Item { item: self.to_string(), why })
    }

    /// Whether everything `other` allows is allowed by this flow.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let ports = match (&self.ports, &other.ports) {
            (Some(outer), Some(inner)) => outer.covers(inner),
            (outer, inner) => outer == inner,
        };
        (self.direction, self.protocol) == (other.direction, other.protocol)
            && ports
            && self.network.covers(&other.network)
    }

    /// What both allow, under this flow's purpose and owner.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if (self.direction, self.protocol) != (other.direction, other.protocol) {
            return None;
        }
        let network = self.network.intersection(&other.network)?;
        let ports = match (self.ports, other.ports) {
            (Some(ours), Some(theirs)) => Some(ours.intersection(&theirs)?),
            (None, None) => None,
            _ => return None,
        };
        Some(Self { network, ports, ..self.clone() })
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (direction, preposition) = match self.direction {
            Direction::In => ("in", "from"),
            Direction::Out => ("out", "to"),
        };
        let protocol = match self.protocol {
            FlowProtocol::Tcp => "tcp",
            FlowProtocol::Udp => "udp",
            FlowProtocol::Echo => "echo",
        };
        write!(f, "flow {} {direction} {protocol} {preposition} {}", self.purpose, self.network)?;
        if let Some(ports) = &self.ports {
            write!(f, " port {ports}")?;
        }
        match &self.owner {
            Some(owner) => write!(f, " for {owner}"),
            None => Ok(()),
        }
    }
}
