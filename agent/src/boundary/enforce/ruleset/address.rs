//! The addresses a policy names, as `nft` wants them.

use std::net::IpAddr;

use casemate_protocol::boundary::{Network, Policy};

use super::Text;

/// Every network named, of peers, flows and gateways; none inside another, as sets of intervals demand.
pub(super) struct Named {
    pub(super) v4: Vec<Network>,
    pub(super) v6: Vec<Network>,
    /// A gateway of IPv6 is named: routers ask by link-local addresses.
    pub(super) routed_v6: bool,
}

impl Named {
    pub(super) fn of(policy: &Policy) -> Self {
        let mut all: Vec<_> = policy.networks().collect();
        all.sort();
        all.dedup();
        let inside = |network: &Network| all.iter().any(|outer| outer != network && outer.covers(network));
        let (v6, v4) = all.iter().filter(|network| !inside(network)).partition(|network| network.is_ipv6());
        let routed_v6 = policy.link.gateways.iter().any(IpAddr::is_ipv6);
        Self { v4, v6, routed_v6 }
    }

    /// Matches neighbour discovery about each named target (RFC 4861 §4.3: it stands 8 bytes into the message). `nft`
    /// before 1.0.7 has no name for the field.
    pub(super) fn targets(&self) -> impl Iterator<Item = (Network, String)> {
        self.v6.iter().filter_map(|network| match (network.first(), network.length()) {
            (IpAddr::V4(_), _) => None,
            (IpAddr::V6(address), 128) => Some((*network, format!("@th,64,128 {:#x}", u128::from(address)))),
            (IpAddr::V6(address), length) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Some((*network, format!("@th,64,128 & {mask:#x} == {:#x}", u128::from(address))))
            }
        })
    }

    /// The set `named4`; an empty one matches nothing.
    pub(super) fn set4(&self, text: &mut Text) {
        set(text, "named4", "ipv4_addr", &self.v4);
    }

    /// The set `named6`.
    pub(super) fn set6(&self, text: &mut Text) {
        set(text, "named6", "ipv6_addr", &self.v6);
    }
}

fn set(text: &mut Text, name: &str, of: &str, networks: &[Network]) {
    text.block(&format!("set {name}"), |text| {
        text.line(&format!("type {of}; flags interval;"));
        if !networks.is_empty() {
            let elements: Vec<_> = networks.iter().map(Network::to_string).collect();
            text.line(&format!("elements = {{ {} }}", elements.join(", ")));
        }
    });
}

/// `ip` or `ip6`.
pub(super) fn family(network: &Network) -> &'static str {
    if network.is_ipv6() { "ip6" } else { "ip" }
}
