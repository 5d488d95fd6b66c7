//! What the kernel itself may say on the wire.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Link traffic no peer or flow implies. Everything else of the kind is off: router solicitations, MLD, IGMP,
/// duplicate address detection, gratuitous ARP. Address resolution (ARP, neighbour discovery) is allowed exactly for
/// the addresses that peers, flows and gateways name; IPv6 is off unless one of these is of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Routers whose link-layer address may be asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// DHCPv4 may be spoken; the host name it carries is the system's affair.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dhcp: bool,
}

impl Link {
    /// Whether everything `other` allows is allowed here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        (self.dhcp || !other.dhcp) && other.gateways.iter().all(|gateway| self.gateways.contains(gateway))
    }

    /// What both allow.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let gateways = self.gateways.iter().filter(|gateway| other.gateways.contains(gateway)).copied().collect();
        Self { gateways, dhcp: self.dhcp && other.dhcp }
    }
}
