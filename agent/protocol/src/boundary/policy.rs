//! What is in force: peers, flows and link traffic.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::change::{Change, Edit};
use super::error::BoundaryError;
use super::flow::Flow;
use super::link::Link;
use super::listen::Listen;
use super::network::Network;
use super::peer::Peer;
use crate::device::id::Owner;
use crate::digest::Digest;
use crate::tuf::time::UtcTime;

/// Peers of one policy.
const MAX_PEERS: usize = 16;
/// Flows of one policy, whoever took part in it.
pub(crate) const MAX_FLOWS: usize = 256;
/// Flows one tenant may list. A tenant can cut one flow of the boundary into many, and all tenants share
/// [`MAX_FLOWS`]: with an eighth of it none fills it alone.
const MAX_TENANT_FLOWS: usize = 32;
/// Gateways of one policy.
const MAX_GATEWAYS: usize = 16;

/// What may be exchanged with whom. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// With whom the agent may talk.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// What workloads may exchange.
    #[serde(default)]
    pub flows: Vec<Flow>,
    /// Who may connect to the agent; absent = nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<Listen>,
    /// What the kernel may say on the wire.
    #[serde(default)]
    pub link: Link,
    /// Until then everything else is logged and let through instead of dropped, so that a site can be moved in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe_until: Option<UtcTime>,
}

impl Policy {
    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// SHA-256 of the canonical JSON: by it the agent and the enforcer tell whether they mean the same.
    ///
    /// # Panics
    /// Never: a policy is plain data.
    #[must_use]
    pub fn digest(&self) -> Digest {
        #[expect(clippy::expect_used, reason = "a policy has text keys and no floats, so it always has a JSON form")]
        Digest::of(&crate::signed::message(self).expect("plain data"))
    }

    /// Every network named, of peers, the listener, flows and gateways.
    pub fn networks(&self) -> impl Iterator<Item = Network> {
        let peers = self.peers.iter().filter_map(|peer| peer.network().ok());
        let gateways = self.link.gateways.iter().filter_map(|gateway| Network::host(*gateway).ok());
        let listen = self.listen.iter().flat_map(|listen| listen.from.iter().copied());
        peers.chain(listen).chain(self.flows.iter().map(|flow| flow.network)).chain(gateways)
    }

    /// Rules no type holds: ports where they belong, peers' names and addresses once, limits.
    ///
    /// # Errors
    /// The entry that breaks a rule.
    pub fn check(&self) -> Result<(), BoundaryError> {
        let counts = [
            ("peers", self.peers.len(), MAX_PEERS),
            ("flows", self.flows.len(), MAX_FLOWS),
            ("gateways", self.link.gateways.len(), MAX_GATEWAYS),
        ];
        if let Some((what, found, limit)) = counts.into_iter().find(|(_, found, limit)| found > limit) {
            return Err(BoundaryError::TooMany { what, found, limit });
        }
        for (index, peer) in self.peers.iter().enumerate() {
            peer.check()?;
            let twice = |other: &Peer| other.id == peer.id || other.socket() == peer.socket();
            if self.peers[..index].iter().any(twice) {
                return Err(BoundaryError::Item {
                    item: peer.to_string(),
                    why: "its name or address stands there twice",
                });
            }
        }
        self.listen.iter().try_for_each(Listen::check)?;
        self.link.gateways.iter().try_for_each(|gateway| Network::host(*gateway).map(|_| ()))?;
        self.flows.iter().try_for_each(Flow::check)
    }

    /// The first entry of `inner` that this policy does not allow; `None` = `inner` is this policy or less.
    #[must_use]
    pub fn excess(&self, inner: &Self) -> Option<String> {
        let peer = inner.peers.iter().find(|peer| !self.peers.iter().any(|outer| outer.covers(peer)));
        if let Some(peer) = peer {
            return Some(peer.to_string());
        }
        let flow = inner.flows.iter().find(|flow| !self.flows.iter().any(|outer| outer.covers(flow)));
        if let Some(flow) = flow {
            return Some(flow.to_string());
        }
        let listen =
            inner.listen.as_ref().filter(|inner| !self.listen.as_ref().is_some_and(|outer| outer.covers(inner)));
        if let Some(listen) = listen {
            return Some(listen.to_string());
        }
        if !self.link.covers(&inner.link) {
            return Some("link traffic".into());
        }
        (inner.observe_until > self.observe_until).then(|| "observe_until".into())
    }

    /// The same said in one way: flows in order, none that another of the same purpose and owner covers.
    #[must_use]
    pub fn normal(mut self) -> Self {
        self.flows.sort();
        self.flows.dedup();
        self.flows = uncovered(&self.flows);
        self
    }

    /// What both allow, in the [normal](Self::normal) form. Peers and flows keep this policy's names, so that what is
    /// less than `other` stays as it is.
    ///
    /// Two policies cut each other's flows into pieces. Where those are too many for one policy, an owner (the operator
    /// counts as one) with more pieces than it has flows here loses its flows: what is left passes [`Self::check`] as
    /// this policy does, and those whose flows were not cut up keep theirs.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let peers = self.peers.iter().filter_map(|peer| other.peers.iter().find_map(|known| peer.intersection(known)));
        let both = Self {
            peers: peers.collect(),
            flows: self.pieces(&other.flows),
            listen: self.listen.as_ref().zip(other.listen.as_ref()).and_then(|(one, two)| one.intersection(two)),
            link: self.link.intersection(&other.link),
            observe_until: self.observe_until.min(other.observe_until),
        };
        both.normal()
    }

    /// What `others` leave of the flows here, not more than one policy holds.
    fn pieces(&self, others: &[Flow]) -> Vec<Flow> {
        let meet = |flow: &Flow| {
            let mut pieces: Vec<_> = others.iter().filter_map(|known| flow.intersection(known)).collect();
            pieces.sort();
            pieces.dedup();
            uncovered(&pieces)
        };
        let mut pieces: Vec<_> = self.flows.iter().flat_map(meet).collect();
        if pieces.len() > MAX_FLOWS {
            let count =
                |flows: &[Flow], owner: &Option<Owner>| flows.iter().filter(|flow| flow.owner == *owner).count();
            let owners: BTreeSet<_> = self.flows.iter().map(|flow| flow.owner.clone()).collect();
            let cut: Vec<_> =
                owners.into_iter().filter(|owner| count(&pieces, owner) > count(&self.flows, owner)).collect();
            pieces.retain(|flow| !cut.contains(&flow.owner));
        }
        pieces
    }

    /// This policy with the flows of `owner` replaced by `flows`. An owner that lists no more flows than it has here is
    /// never refused for their number because of what others list.
    ///
    /// # Errors
    /// A flow allows more than the owner's own here; or there are too many, of this owner or of all.
    pub fn narrowed_by(&self, owner: &Owner, flows: &[Flow]) -> Result<Self, BoundaryError> {
        check_tenant(flows)?;
        let (own, others): (Vec<_>, Vec<_>) =
            self.flows.iter().cloned().partition(|flow| flow.owner.as_ref() == Some(owner));
        if let Some(flow) = flows.iter().find(|flow| !own.iter().any(|outer| outer.covers(flow))) {
            return Err(BoundaryError::Wider { item: flow.to_string(), outer: "boundary" });
        }
        let narrowed = flows.iter().cloned().map(|flow| Flow { owner: Some(owner.clone()), ..flow });
        let flows: Vec<_> = others.into_iter().chain(narrowed).collect();
        match flows.len() {
            found if found > MAX_FLOWS => Err(BoundaryError::TooMany { what: "flows of all", found, limit: MAX_FLOWS }),
            _ => Ok(Self { flows, ..self.clone() }),
        }
    }

    /// What changes from this policy to `new`, entry by entry.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let (before, after) = (self.entries(), new.entries());
        let missing = |from: &[String], to: &[String], edit| {
            let gone = from.iter().filter(|entry| !to.contains(entry)).cloned();
            gone.map(|item| Change { edit, item }).collect::<Vec<_>>()
        };
        let mut changes = missing(&before, &after, Edit::Removed);
        changes.extend(missing(&after, &before, Edit::Added));
        changes
    }

    /// Every entry on a line of its own, pins included.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        let peer = |peer: &Peer| {
            let pins: Vec<_> = peer.pins.iter().map(|pin| pin.to_string()).collect();
            let required = if peer.required { " required" } else { "" };
            format!("{peer}{required} pins {}", pins.join(" "))
        };
        let peers = self.peers.iter().map(peer);
        let listen = self.listen.iter().map(Listen::to_string);
        let flows = self.flows.iter().map(Flow::to_string);
        let gateways = self.link.gateways.iter().map(|gateway| format!("gateway {gateway}"));
        let dhcp = self.link.dhcp.then(|| "dhcp".to_owned());
        let observe = self.observe_until.map(|until| format!("observe until {until}"));
        peers.chain(listen).chain(flows).chain(gateways).chain(dhcp).chain(observe).collect()
    }
}

/// The rules for what a tenant lists, whatever the boundary gives it.
pub(super) fn check_tenant(flows: &[Flow]) -> Result<(), BoundaryError> {
    let (found, limit) = (flows.len(), MAX_TENANT_FLOWS);
    if found > limit {
        return Err(BoundaryError::TooMany { what: "flows of one tenant", found, limit });
    }
    flows.iter().try_for_each(Flow::check)
}

/// Those of `flows`, each there once, that no other of the same purpose and owner covers.
fn uncovered(flows: &[Flow]) -> Vec<Flow> {
    let covers = |outer: &Flow, flow: &Flow| {
        (&outer.purpose, &outer.owner) == (&flow.purpose, &flow.owner) && outer.covers(flow)
    };
    let covered = |index: usize| {
        let mut others = flows.iter().enumerate().filter(|(other, _)| *other != index);
        others.any(|(_, other)| covers(other, &flows[index]))
    };
    (0..flows.len()).filter(|index| !covered(*index)).map(|index| flows[index].clone()).collect()
}
