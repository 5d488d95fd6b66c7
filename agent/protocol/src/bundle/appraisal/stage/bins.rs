//! Roles that list assignments, for fleets too large for one targets file.

use super::super::case::{Case, Step};
use super::super::refusal::Refusal;
use super::assignments::Assignments;
use super::roles::delegated;
use super::{Stage, is_owner};
use crate::bundle::archive::{Member, MemberKind};
use crate::tuf::role::RoleName;

/// Which came last.
#[derive(Debug, Default)]
pub(in super::super) struct Bins {
    last: Option<RoleName>,
}

impl Bins {
    pub(super) fn member(&mut self, case: &mut Case, member: Option<&Member>) -> Result<Step, Refusal> {
        match member {
            Some(member) => match &member.kind {
                MemberKind::Metadata { role, version } if !is_owner(role) => {
                    delegated(case, member, role, *version, &mut self.last)
                }
                _ => Ok(Step::Next(Box::new(Self::leave(case)?))),
            },
            None => Ok(Step::Next(Box::new(Self::leave(case)?))),
        }
    }

    /// All there are were handed in: what comes next.
    pub(super) fn leave(case: &mut Case) -> Result<Stage, Refusal> {
        Ok(Stage::Assignments(Assignments::enter(case)?))
    }
}
