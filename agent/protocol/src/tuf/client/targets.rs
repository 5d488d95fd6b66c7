//! The targets step (TUF 1.0 §5.6), for the top-level role and every delegated one.

use std::collections::BTreeSet;

use super::machine::{Client, parse};
use super::snapshot::{check_bytes, check_content, check_version};
use super::timestamp::check_expiry;
use super::{MAX_TARGETS, Rules, TufError};
use crate::tuf::profile;
use crate::tuf::role::RoleName;
use crate::tuf::snapshot::MetaFile;
use crate::tuf::targets::{Delegations, Targets};
use crate::verify::{self, Authority, Verified};

impl Client {
    pub(super) fn accept_targets(&mut self, raw: &[u8], meta: &MetaFile) -> Result<(), TufError> {
        let role = RoleName::targets();
        let authority = self.authority(&role);
        let targets = self.judge_targets(&role, raw, meta, authority)?;
        self.raise_role(&role, &targets);
        self.targets = Some(targets);
        Ok(())
    }

    /// Every rule one targets role must pass.
    pub(super) fn judge_targets(
        &self,
        role: &RoleName,
        raw: &[u8],
        meta: &MetaFile,
        authority: Authority<'_>,
    ) -> Result<Verified<Targets>, TufError> {
        let document = parse(role, raw, MAX_TARGETS)?;
        check_bytes(role, raw, meta)?;
        let targets: Verified<Targets> = verify::verify(&document, &[authority])
            .map_err(|source| TufError::Unverified { role: role.clone(), source })?;
        let version = targets.get().version;
        check_version(role, meta.version, version)?;
        let floor = self.floors.snapshot.as_ref().and_then(|floor| floor.roles.get(role));
        let accepted = floor.and_then(|floor| Some((floor.version, floor.content?)));
        check_content(role, version, accepted, &targets)?;
        check_expiry(role.clone(), targets.get().expires, self.now())?;
        if let Some(delegations) = &targets.get().delegations {
            check_delegations(delegations).map_err(|reason| TufError::Delegations { role: role.clone(), reason })?;
        }
        if self.rules == Rules::Casemate {
            profile::check_targets(role, targets.get())
                .map_err(|rule| TufError::Profile { role: role.clone(), rule })?;
        }
        Ok(targets)
    }

    /// Remembers which content this version of the role is.
    pub(super) fn raise_role(&mut self, role: &RoleName, targets: &Verified<Targets>) {
        let floor = self.floors.snapshot.as_mut().and_then(|floor| floor.roles.get_mut(role));
        if let Some(floor) = floor {
            floor.content = Some(targets.content_digest());
        }
    }
}

/// Delegations that mean one thing only.
fn check_delegations(delegations: &Delegations) -> Result<(), &'static str> {
    if let Some(bins) = &delegations.succinct_roles {
        if !delegations.roles.is_empty() {
            return Err("roles and succinct_roles exclude each other");
        }
        if !(1..=32).contains(&bins.bit_length) {
            return Err("bit_length is outside 1 to 32");
        }
    }
    let mut names = BTreeSet::new();
    for role in &delegations.roles {
        if matches!(role.name.as_str(), "" | "root" | "timestamp" | "snapshot" | "targets") {
            return Err("a delegated role has the name of a top-level role or none");
        }
        if !names.insert(&role.name) {
            return Err("a role is delegated twice");
        }
        if role.paths.is_some() == role.path_hash_prefixes.is_some() {
            return Err("a delegation needs either paths or path_hash_prefixes");
        }
    }
    Ok(())
}
