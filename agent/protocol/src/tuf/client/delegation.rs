//! Delegated roles: read lazily, each judged under whoever delegates to it.

use super::machine::Client;
use super::{Rules, TufError};
use crate::tuf::floors::Pin;
use crate::tuf::profile;
use crate::tuf::role::RoleName;
use crate::tuf::snapshot::MetaFile;
use crate::tuf::targets::{DelegatedRole, Delegations, Targets};
use crate::verify::{Authority, Verified};

/// A role as one delegator vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) delegator: RoleName,
    pub(super) role: RoleName,
}

impl Client {
    /// What became of an edge in this run.
    pub(super) fn outcome(&self, edge: &Edge) -> Option<&Result<Verified<Targets>, TufError>> {
        self.delegated.get(&edge.role)?.get(&edge.delegator)
    }

    pub(super) fn record(&mut self, edge: Edge, outcome: Result<Verified<Targets>, TufError>) {
        if self.pending.as_ref() == Some(&edge) {
            self.pending = None;
        }
        self.delegated.entry(edge.role).or_default().insert(edge.delegator, outcome);
    }

    /// A targets role's content: the role's version is one content, whoever vouches for it.
    pub(super) fn content(&self, role: &RoleName) -> Option<&Targets> {
        if *role == RoleName::targets() {
            return self.targets.as_ref().map(Verified::get);
        }
        self.delegated(role).map(Verified::get)
    }

    /// Settles an edge with what is at hand. `false` = it has to be asked for; it is pending now.
    pub(super) fn fetch(&mut self, edge: Edge) -> bool {
        let meta = self.snapshot.as_ref().map(|snapshot| snapshot.get().meta.get(&edge.role.meta_name()).cloned());
        let meta = match meta {
            None => return false,
            Some(None) => {
                let error = TufError::Unlisted { role: edge.role.clone(), by: "snapshot" };
                self.record(edge, Err(error));
                return true;
            }
            Some(Some(meta)) => meta,
        };
        if let Err(error) = self.delegation(&edge).map(|_| ()) {
            self.record(edge, Err(error));
            return true;
        }
        let cached = self.cached.get(&edge.role).cloned();
        if let Some(raw) = cached.filter(|raw| self.judge(&edge, raw, &meta).is_ok()) {
            self.settle(edge, &raw, &meta);
            return true;
        }
        self.pending = Some(edge);
        false
    }

    /// Judges `raw` for `edge` and records the outcome.
    pub(super) fn settle(&mut self, edge: Edge, raw: &[u8], meta: &MetaFile) {
        let outcome = self.judge(&edge, raw, meta);
        let outcome = outcome.map(|(targets, pin)| {
            self.raise_role(&edge.role, &targets);
            if let Some(pin) = pin {
                self.floors.tenants.entry(edge.role.clone()).or_insert(pin);
            }
            self.cached.insert(edge.role.clone(), raw.to_vec());
            targets
        });
        self.record(edge, outcome);
    }

    fn judge(&self, edge: &Edge, raw: &[u8], meta: &MetaFile) -> Result<(Verified<Targets>, Option<Pin>), TufError> {
        let (delegations, delegation) = self.delegation(edge)?;
        let persons = self.persons();
        let authority =
            Authority { keys: &delegations.keys, keyids: &delegation.keyids, threshold: delegation.threshold, persons };
        let pin = self.check_owner(edge, delegations, &delegation, &authority)?;
        let targets = self.judge_targets(&edge.role, raw, meta, authority)?;
        // Elsewhere a search asks the delegation first; an owner's role is also read as a whole.
        let is_owner = self.rules == Rules::Casemate && profile::is_owner(&edge.role);
        if is_owner && !targets.get().targets.keys().all(|path| delegation.matches(path)) {
            let rule = "a target stands outside the delegated paths";
            return Err(TufError::Profile { role: edge.role.clone(), rule });
        }
        Ok((targets, pin))
    }

    /// What the delegator says about the role.
    fn delegation(&self, edge: &Edge) -> Result<(&Delegations, DelegatedRole), TufError> {
        let unlisted = || TufError::Unlisted { role: edge.role.clone(), by: "delegating role" };
        let delegations =
            self.content(&edge.delegator).and_then(|targets| targets.delegations.as_ref()).ok_or_else(unlisted)?;
        let listed = delegations.roles.iter().find(|role| role.name == edge.role).cloned();
        let bin = || delegations.succinct_roles.as_ref().and_then(|bins| bins.bin_named(&edge.role));
        listed.or_else(bin).map(|role| (delegations, role)).ok_or_else(unlisted)
    }

    /// The profile's rules about who signs an owner's role.
    fn check_owner(
        &self,
        edge: &Edge,
        delegations: &Delegations,
        delegation: &DelegatedRole,
        authority: &Authority<'_>,
    ) -> Result<Option<Pin>, TufError> {
        let role = &edge.role;
        if self.rules == Rules::Foreign || !profile::is_owner(role) {
            return Ok(None);
        }
        let breaks = |rule| TufError::Profile { role: role.clone(), rule };
        if edge.delegator != RoleName::targets() {
            return Err(breaks("only targets may delegate to an owner"));
        }
        if *role == profile::boundary_role() {
            profile::check_boundary(self.root.get(), &delegations.keys, delegation).map_err(breaks)?;
        }
        if !role.as_str().starts_with("tenant.") {
            return Ok(None);
        }
        let pin = Pin { threshold: delegation.threshold, keys: authority.fingerprints() };
        match self.floors.tenants.get(role) {
            Some(pinned) if *pinned != pin => Err(TufError::Pinned { role: role.clone() }),
            _ => Ok(Some(pin)),
        }
    }
}
