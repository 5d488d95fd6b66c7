//! The envelope: how far any boundary may go. Root binds it by digest.

use serde::{Deserialize, Serialize};

use super::document::{Boundary, read};
use super::error::BoundaryError;
use super::network::Network;
use super::policy::Policy;
use crate::device::id::Jurisdiction;
use crate::digest::Digest;

/// The content of `boundary/envelope.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Must equal the root's.
    pub jurisdiction: Jurisdiction,
    /// Where peers, flows and gateways may be.
    pub networks: Vec<Network>,
    /// The only keys peers may have; absent = any that the boundary role signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pins: Option<Vec<Digest>>,
    /// A boundary may allow DHCP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dhcp: bool,
    /// A boundary may observe instead of enforce, for a time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observe: bool,
}

impl Envelope {
    /// The target path.
    pub const TARGET: &'static str = "boundary/envelope.json";

    /// The envelope in `raw`, whose digest must be the one `bound` in root.
    ///
    /// # Errors
    /// Another document than the root's, malformed, or of another jurisdiction.
    pub fn parse(raw: &[u8], bound: Option<Digest>, jurisdiction: Jurisdiction) -> Result<Self, BoundaryError> {
        let found = Digest::of(raw);
        if bound != Some(found) {
            let expected = bound.map_or_else(|| "no envelope".into(), |digest| digest.to_string());
            return Err(BoundaryError::Envelope { expected, found: found.to_string() });
        }
        let envelope: Self = read(raw, "a boundary envelope", |envelope: &Self| envelope.format)?;
        if envelope.jurisdiction == jurisdiction {
            return Ok(envelope);
        }
        let found = envelope.jurisdiction;
        Err(BoundaryError::Jurisdiction { whose: "envelope", expected: jurisdiction, found })
    }

    /// Whether `boundary` stays inside.
    ///
    /// # Errors
    /// The first entry that does not.
    pub fn admit(&self, boundary: &Boundary) -> Result<(), BoundaryError> {
        if boundary.jurisdiction != self.jurisdiction {
            let (expected, found) = (self.jurisdiction, boundary.jurisdiction);
            return Err(BoundaryError::Jurisdiction { whose: "boundary", expected, found });
        }
        match self.excess(&boundary.allow) {
            None => Ok(()),
            Some(item) => Err(BoundaryError::Wider { item, outer: "envelope" }),
        }
    }

    fn excess(&self, policy: &Policy) -> Option<String> {
        let inside = |network: &Network| self.networks.iter().any(|outer| outer.covers(network));
        let known = |pin: Digest| self.pins.as_ref().is_none_or(|pins| pins.contains(&pin));
        let stranger = policy.peers.iter().find(|peer| !peer.pins.iter().all(known));
        if let Some(peer) = stranger {
            return Some(format!("a key of {peer}"));
        }
        let outside = policy.networks().find(|network| !inside(network));
        if let Some(network) = outside {
            return Some(network.to_string());
        }
        if policy.link.dhcp && !self.dhcp {
            return Some("dhcp".into());
        }
        (policy.observe_until.is_some() && !self.observe).then(|| "observe_until".into())
    }
}
