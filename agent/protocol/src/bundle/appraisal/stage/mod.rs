//! The sections of an archive, in their order.

mod assignments;
mod bins;
mod files;
mod manifests;
mod roles;
mod top;

use super::case::{Case, Step};
use super::refusal::Refusal;
use crate::bundle::archive::Member;
use crate::device::id::Owner;
use crate::tuf::role::RoleName;

/// A section, with what must be remembered inside it.
#[derive(Debug)]
pub(super) enum Stage {
    /// Roots, timestamp, snapshot, targets.
    Top(top::Top),
    /// Roles that list assignments.
    Bins(bins::Bins),
    /// Assignments.
    Assignments(assignments::Assignments),
    /// Owners' roles, and the boundary's.
    Roles(roles::Roles),
    /// Manifests.
    Manifests(manifests::Manifests),
    /// `presumes.json`, then files and parts.
    Files(files::Files),
}

impl Stage {
    pub(super) fn first() -> Self {
        Self::Top(top::Top::default())
    }

    pub(super) fn member(&mut self, case: &mut Case, member: Option<&Member>) -> Result<Step, Refusal> {
        match self {
            Self::Top(stage) => stage.member(case, member),
            Self::Bins(stage) => stage.member(case, member),
            Self::Assignments(stage) => stage.member(case, member),
            Self::Roles(stage) => stage.member(case, member),
            Self::Manifests(stage) => stage.member(case, member),
            Self::Files(stage) => stage.member(case, member),
        }
    }

    /// What comes next once everything of this section was handed in; the last two end with their members alone.
    pub(super) fn leave(&self, case: &mut Case) -> Result<Option<Self>, Refusal> {
        Ok(Some(match self {
            Self::Top(_) => top::Top::leave(case)?,
            Self::Bins(_) => bins::Bins::leave(case)?,
            Self::Assignments(_) => assignments::Assignments::leave(case)?,
            Self::Roles(_) => roles::Roles::leave(case),
            Self::Manifests(_) | Self::Files(_) => return Ok(None),
        }))
    }
}

/// Whether `role` owns a tree: a group, a tenant or the boundary.
pub(super) fn is_owner(role: &RoleName) -> bool {
    role.as_str() == "boundary" || role.as_str().parse::<Owner>().is_ok()
}

/// Whether the target at `path` is a manifest or a boundary document: these stand before `presumes.json` and the files,
/// in the order of their paths.
#[must_use]
pub fn is_read_whole(path: &str) -> bool {
    super::owners::is_manifest(path) || super::boundary::is_document(path)
}

/// The refusal of a member that stands where its kind may not.
fn misplaced(member: &Member, why: &'static str) -> Refusal {
    Refusal::Unexpected { member: member.kind.to_string(), why }
}
