//! Who may connect to the agent.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::BoundaryError;
use super::network::Network;

/// Networks one listener may name.
const MAX_NETWORKS: usize = 16;

/// The agent's own listener, mTLS only. Without one it listens on unix sockets alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// At which TCP port, on every address of the machine; not below 1024: the agent has no capability.
    pub port: u16,
    /// Who may connect: everybody else is not even answered.
    pub from: Vec<Network>,
}

impl Listen {
    pub(super) fn check(&self) -> Result<(), BoundaryError> {
        let refuse = |why| Err(BoundaryError::Item { item: self.to_string(), why });
        match self.from.len() {
            0 => refuse("nobody could connect: name networks"),
            found if found > MAX_NETWORKS => {
                Err(BoundaryError::TooMany { what: "networks of the listener", found, limit: MAX_NETWORKS })
            }
            _ if self.port < 1024 => refuse("the agent may not bind ports below 1024"),
            _ => Ok(()),
        }
    }

    /// Whether everybody who may connect to `other` may connect here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let inside = |network: &Network| self.from.iter().any(|outer| outer.covers(network));
        self.port == other.port && other.from.iter().all(inside)
    }

    /// What both allow; `None` if that is nothing.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.port != other.port {
            return None;
        }
        let both =
            self.from.iter().flat_map(|network| other.from.iter().filter_map(|known| network.intersection(known)));
        let mut from: Vec<Network> = both.collect();
        from.sort();
        from.dedup();
        from.truncate(MAX_NETWORKS);
        (!from.is_empty()).then_some(Self { port: self.port, from })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from: Vec<_> = self.from.iter().map(Network::to_string).collect();
        write!(f, "listen {} from {}", self.port, from.join(" "))
    }
}
