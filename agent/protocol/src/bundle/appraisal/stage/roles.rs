//! Owners' roles.

use super::super::case::{Case, Pending, Step};
use super::super::refusal::Refusal;
use super::super::verdict::Disposition;
use super::manifests::Manifests;
use super::{Stage, is_owner, misplaced};
use crate::bundle::archive::{Member, MemberKind};
use crate::tuf::client::Want;
use crate::tuf::profile::boundary_role;
use crate::tuf::role::{RoleName, Version};

/// Which came last.
#[derive(Debug, Default)]
pub(in super::super) struct Roles {
    last: Option<RoleName>,
}

impl Roles {
    pub(super) fn member(&mut self, case: &mut Case, member: Option<&Member>) -> Result<Step, Refusal> {
        match member {
            Some(member) => match &member.kind {
                MemberKind::Metadata { role, .. } if case.is_boundary_only() && *role != boundary_role() => {
                    Err(misplaced(member, "an offer holds no role of an owner but the boundary's"))
                }
                MemberKind::Metadata { role, version } if is_owner(role) => {
                    delegated(case, member, role, *version, &mut self.last)
                }
                MemberKind::Metadata { .. } => {
                    Err(misplaced(member, "metadata comes before assignments, owners' roles right after them"))
                }
                _ => Ok(Step::Next(Box::new(Self::leave(case)))),
            },
            None => Ok(Step::Next(Box::new(Self::leave(case)))),
        }
    }

    /// All there are were handed in: what comes next.
    pub(super) fn leave(case: &mut Case) -> Stage {
        Stage::Manifests(Manifests::enter(case))
    }
}

/// One delegated role: in the order of names, of the version the snapshot lists, read unless it is known already.
pub(super) fn delegated(
    case: &mut Case,
    member: &Member,
    role: &RoleName,
    version: Version,
    last: &mut Option<RoleName>,
) -> Result<Step, Refusal> {
    if last.as_ref().is_some_and(|last| last >= role) {
        return Err(misplaced(member, "delegated roles stand in the order of their names"));
    }
    *last = Some(role.clone());
    match case.listed(role) {
        None => return Err(misplaced(member, "the snapshot does not list it")),
        Some(expected) if expected != version => {
            return Err(Refusal::Version { role: role.clone(), expected, found: version });
        }
        Some(_) => {}
    }
    if case.note(role) {
        return Ok(Step::Do(Disposition::Skip));
    }
    match case.client.want() {
        Want::Metadata { role: wanted, max_length, .. } if wanted == *role => {
            let pending = Pending::Role { role: role.clone(), member: member.kind.to_string() };
            case.read(member, max_length, pending)
        }
        _ => Err(misplaced(member, "the role that delegates to it comes first")),
    }
}
