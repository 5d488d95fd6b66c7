//! The client's state and its steps.

use std::collections::BTreeMap;

use super::{
    Lookup, MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP, Optional, Rules, Stored, TufError, Want,
    delegation::Edge,
};
use crate::signed::Unverified;
use crate::tuf::file_name;
use crate::tuf::floors::Floors;
use crate::tuf::role::{RoleName, Version};
use crate::tuf::root::Root;
use crate::tuf::snapshot::{MetaFile, Snapshot};
use crate::tuf::targets::Targets;
use crate::tuf::time::Clock;
use crate::tuf::timestamp::Timestamp;
use crate::verify::Verified;

/// A client between two steps.
#[derive(Debug)]
pub struct Client {
    pub(super) rules: Rules,
    pub(super) clock: Clock,
    pub(super) floors: Floors,
    /// What earlier runs kept, and what this run received: raw, unverified.
    pub(super) cached: BTreeMap<RoleName, Vec<u8>>,
    pub(super) root: Verified<Root>,
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) chain: Chain,
    // Filled in this order; the first empty one is what the client works on.
    pub(super) timestamp: Option<Verified<Timestamp>>,
    pub(super) snapshot: Option<Verified<Snapshot>>,
    pub(super) targets: Option<Verified<Targets>>,
    /// Delegated roles, by role and then by who delegates: one role may be delegated by several, each with its own
    /// keys, and what one vouches for the other need not.
    pub(super) delegated: BTreeMap<RoleName, BTreeMap<RoleName, Result<Verified<Targets>, TufError>>>,
    pub(super) pending: Option<Edge>,
}

/// Whether there may be newer roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// The next root has not been asked for yet.
    Growing,
    /// There is no newer root.
    Ended,
}

/// The step the client is at.
enum Step {
    Root(Option<Version>),
    Timestamp,
    Snapshot(MetaFile),
    Targets(MetaFile),
    Delegated(Edge, MetaFile),
    Idle,
}

impl Client {
    /// A client that stands on the stored root.
    ///
    /// # Errors
    /// The stored root is unreadable, not signed by itself, or not the one the floors know.
    pub fn new(stored: Stored, rules: Rules, clock: Clock) -> Result<Self, TufError> {
        let Stored { root, mut floors, cached } = stored;
        let root = super::chain::stored(&root, rules, &mut floors)?;
        Ok(Self {
            rules,
            clock,
            floors,
            cached,
            root,
            roots: Vec::new(),
            chain: Chain::Growing,
            timestamp: None,
            snapshot: None,
            targets: None,
            delegated: BTreeMap::new(),
            pending: None,
        })
    }

    /// What is needed next.
    #[must_use]
    pub fn want(&self) -> Want {
        let want = |role: RoleName, version: Option<Version>, named: Option<Version>, max_length, optional| {
            let path = file_name::of_metadata(&role, named);
            Want::Metadata { role, version, path, max_length, optional }
        };
        let consistent = |version| Some(version).filter(|_| self.root.get().consistent_snapshot);
        match self.step() {
            // Past the last version there is nothing to ask for; the shell still has to say so.
            Step::Root(next) => {
                let version = next.unwrap_or(self.root.get().version);
                want(RoleName::root(), Some(version), Some(version), MAX_ROOT, Optional::Yes)
            }
            Step::Timestamp => want(RoleName::timestamp(), None, None, MAX_TIMESTAMP, Optional::No),
            Step::Snapshot(meta) => {
                let limit = limit(&meta, MAX_SNAPSHOT);
                want(RoleName::snapshot(), Some(meta.version), consistent(meta.version), limit, Optional::No)
            }
            Step::Targets(meta) => {
                let limit = limit(&meta, MAX_TARGETS);
                want(RoleName::targets(), Some(meta.version), consistent(meta.version), limit, Optional::No)
            }
            Step::Delegated(edge, meta) => {
                let limit = limit(&meta, MAX_TARGETS);
                want(edge.role, Some(meta.version), consistent(meta.version), limit, Optional::No)
            }
            Step::Idle => Want::Nothing,
        }
    }

    /// Hands in the bytes of the wanted metadata. After an error the client stands where it stood: what was accepted
    /// before stays accepted. A delegated role that does not verify is no error here: [`Self::lookup`] and
    /// [`Self::broken`] say so, and other roles are not affected.
    ///
    /// # Errors
    /// The metadata is refused.
    pub fn got(&mut self, raw: &[u8]) -> Result<(), TufError> {
        match self.step() {
            Step::Root(next) => self.grow_chain(raw, next)?,
            Step::Timestamp => self.accept_timestamp(raw)?,
            Step::Snapshot(meta) => self.accept_snapshot(raw, &meta)?,
            Step::Targets(meta) => self.accept_targets(raw, &meta)?,
            Step::Delegated(edge, meta) => self.settle(edge, raw, &meta),
            Step::Idle => return Err(TufError::Unwanted),
        }
        self.use_cached();
        Ok(())
    }

    /// Says that the wanted metadata does not exist. Never to be called for a transport error.
    ///
    /// # Errors
    /// It is required; or the roots end before the newest one ever accepted, or with an expired one.
    pub fn absent(&mut self) -> Result<(), TufError> {
        match self.step() {
            Step::Root(_) => self.end_chain(),
            Step::Timestamp => Err(TufError::Missing { role: RoleName::timestamp() }),
            Step::Snapshot(_) => Err(TufError::Missing { role: RoleName::snapshot() }),
            Step::Targets(_) => Err(TufError::Missing { role: RoleName::targets() }),
            Step::Delegated(edge, _) => {
                let error = TufError::Missing { role: edge.role.clone() };
                self.record(edge, Err(error));
                Ok(())
            }
            Step::Idle => Err(TufError::Unwanted),
        }
    }

    fn step(&self) -> Step {
        if self.chain == Chain::Growing {
            return Step::Root(self.root.get().version.next());
        }
        let Some(timestamp) = &self.timestamp else { return Step::Timestamp };
        let listed = |meta: &BTreeMap<String, MetaFile>, role: &RoleName| meta.get(&role.meta_name()).cloned();
        let Some(snapshot) = &self.snapshot else {
            return listed(&timestamp.get().meta, &RoleName::snapshot()).map_or(Step::Idle, Step::Snapshot);
        };
        let meta = &snapshot.get().meta;
        if self.targets.is_none() {
            return listed(meta, &RoleName::targets()).map_or(Step::Idle, Step::Targets);
        }
        let pending = self.pending.as_ref().and_then(|edge| Some((edge.clone(), listed(meta, &edge.role)?)));
        pending.map_or(Step::Idle, |(edge, meta)| Step::Delegated(edge, meta))
    }

    /// Takes the next steps with what earlier runs kept, as far as that is exactly what is wanted now. Whatever does
    /// not fit, torn or old, is asked for instead.
    fn use_cached(&mut self) {
        loop {
            let taken = match self.step() {
                Step::Snapshot(meta) => {
                    let raw = self.cached.get(&RoleName::snapshot()).cloned();
                    raw.is_some_and(|raw| self.accept_snapshot(&raw, &meta).is_ok())
                }
                Step::Targets(meta) => {
                    let raw = self.cached.get(&RoleName::targets()).cloned();
                    raw.is_some_and(|raw| self.accept_targets(&raw, &meta).is_ok())
                }
                _ => false,
            };
            if !taken {
                return;
            }
        }
    }

    /// Looks for a target: in its owner's role for `groups/…`, `tenants/…` and `boundary/…` under the profile, else
    /// in targets and its delegations, in their order (TUF 1.0 §5.6.7), through [`super::MAX_SEARCH`] roles at most.
    pub fn lookup(&mut self, target: &str) -> Lookup {
        loop {
            let edge = match self.search(target) {
                Ok(lookup) => return lookup,
                Err(edge) => edge,
            };
            if !self.fetch(edge) {
                return Lookup::Wants;
            }
        }
    }

    /// Reads a role that targets delegates to directly, whatever target it may be for: how a bundle's reader loads an
    /// owner. `None` = serve [`Self::want`] first, then ask again.
    pub fn load(&mut self, role: &RoleName) -> Option<Result<&Verified<Targets>, &TufError>> {
        let edge = Edge { delegator: RoleName::targets(), role: role.clone() };
        if self.outcome(&edge).is_none() && !self.fetch(edge.clone()) {
            return None;
        }
        self.outcome(&edge).map(Result::as_ref)
    }
}

fn limit(meta: &MetaFile, cap: u64) -> u64 {
    meta.length.map_or(cap, |length| length.min(cap))
}

/// Parses `raw` within `limit`.
pub(super) fn parse(role: &RoleName, raw: &[u8], limit: u64) -> Result<Unverified, TufError> {
    let found = raw.len() as u64;
    if found > limit {
        return Err(TufError::TooLong { role: role.clone(), limit, found });
    }
    Unverified::parse(raw).map_err(|source| TufError::Malformed { role: role.clone(), source })
}
