//! The search for a target (TUF 1.0 §5.6.7).

use std::collections::BTreeSet;

use super::delegation::Edge;
use super::machine::Client;
use super::{Lookup, MAX_SEARCH, Rules};
use crate::tuf::profile::{self, Territory};
use crate::tuf::role::RoleName;
use crate::tuf::targets::{DelegatedRole, Targets};

impl Client {
    /// The answer as far as the accepted roles give one, else the edge that must be settled first.
    pub(super) fn search(&self, target: &str) -> Result<Lookup, Edge> {
        if self.targets.is_none() {
            return Ok(Lookup::Wants);
        }
        if self.rules == Rules::Foreign {
            return self.search_delegations(target);
        }
        if !profile::is_plain_path(target) {
            return Ok(Lookup::Absent);
        }
        match profile::territory(target) {
            Territory::Common => self.search_delegations(target),
            Territory::Nobody => Ok(Lookup::Absent),
            Territory::Owned(role) => self.search_owner(target, role),
        }
    }

    /// Only the owner's own role counts in its tree, whatever targets and others list.
    fn search_owner(&self, target: &str, role: RoleName) -> Result<Lookup, Edge> {
        let top = RoleName::targets();
        let delegations = self.content(&top).and_then(|targets| targets.delegations.as_ref());
        let is_delegated = delegations.is_some_and(|delegations| {
            delegations.roles.iter().any(|listed| listed.name == role && listed.matches(target))
        });
        if !is_delegated {
            return Ok(Lookup::Absent);
        }
        let edge = Edge { delegator: top, role };
        match self.outcome(&edge) {
            None => Err(edge),
            Some(Err(_)) => Ok(Lookup::Broken { role: edge.role }),
            Some(Ok(targets)) => Ok(found(&edge.role, targets.get(), target).unwrap_or(Lookup::Absent)),
        }
    }

    /// Pre-order depth-first through the delegations that speak for the target; a terminating one ends the search.
    fn search_delegations(&self, target: &str) -> Result<Lookup, Edge> {
        let mut visited = BTreeSet::new();
        let mut stack = vec![Edge { delegator: RoleName::root(), role: RoleName::targets() }];
        while let Some(edge) = stack.pop() {
            if visited.contains(&edge.role) {
                continue;
            }
            if visited.len() > MAX_SEARCH {
                return Ok(Lookup::Absent);
            }
            if edge.role != RoleName::targets() {
                match self.outcome(&edge) {
                    None => return Err(edge),
                    Some(Err(_)) => return Ok(Lookup::Broken { role: edge.role }),
                    Some(Ok(_)) => {}
                }
            }
            let Some(targets) = self.content(&edge.role) else { return Ok(Lookup::Absent) };
            if let Some(found) = found(&edge.role, targets, target) {
                return Ok(found);
            }
            let next = self.next_roles(targets, target);
            if next.iter().any(|role| role.terminating) {
                stack.clear();
            }
            let edges = next.into_iter().map(|role| Edge { delegator: edge.role.clone(), role: role.name });
            stack.extend(edges.rev());
            visited.insert(edge.role);
        }
        Ok(Lookup::Absent)
    }

    /// The delegations to follow, up to and with the first terminating one.
    fn next_roles(&self, targets: &Targets, target: &str) -> Vec<DelegatedRole> {
        let mut next = Vec::new();
        for role in targets.delegations.iter().flat_map(|delegations| delegations.for_target(target)) {
            // An owner's role counts in its own tree alone.
            if self.rules == Rules::Casemate && profile::is_owner(&role.name) {
                continue;
            }
            let is_last = role.terminating;
            next.push(role);
            if is_last {
                break;
            }
        }
        next
    }
}

fn found(role: &RoleName, targets: &Targets, target: &str) -> Option<Lookup> {
    let file = targets.targets.get(target)?;
    Some(Lookup::Found { role: role.clone(), file: file.clone() })
}
