//! `presumes.json`, then files and parts.

use super::super::case::{Case, Pending, Step};
use super::super::catalogue::{Catalogue, Order};
use super::super::presumes::MAX_PRESUMES;
use super::super::refusal::Refusal;
use super::super::verdict::Disposition;
use super::misplaced;
use crate::bundle::archive::{Member, MemberKind};

/// What is listed.
#[derive(Debug)]
pub(in super::super) struct Files {
    files: Catalogue,
    /// Kept to say of a late manifest that it is late.
    manifests: Catalogue,
}

impl Files {
    pub(super) fn new(files: Catalogue, manifests: Catalogue) -> Self {
        Self { files, manifests }
    }

    pub(super) fn member(&mut self, case: &mut Case, member: Option<&Member>) -> Result<Step, Refusal> {
        let object = match member {
            None => None,
            Some(member) => match &member.kind {
                MemberKind::Object { digest } => Some((member, *digest)),
                MemberKind::Presumes if case.presumes.is_none() && !case.settled => {
                    return case.read(member, MAX_PRESUMES, Pending::Presumes);
                }
                MemberKind::Presumes => return Err(misplaced(member, "it comes once, before the files")),
                MemberKind::Metadata { .. } => return Err(misplaced(member, "metadata comes before the files")),
            },
        };
        if !case.settled {
            return Ok(Step::Do(Disposition::Settle));
        }
        let Some((member, digest)) = object else {
            return Ok(Step::Do(Disposition::Skip));
        };
        // Twice, where a role that does not verify lists it in another section.
        let again = self.files.has_passed(&digest) && !case.unverified.is_empty();
        if again || !self.files.lists(&digest) {
            let late = self.manifests.lists(&digest);
            return case
                .unknown(member, if late { "manifests come before the files" } else { "no signed metadata lists it" });
        }
        let order = if case.unverified.is_empty() { Order::Strict } else { Order::Unknown };
        self.files.pass(&digest, member.length, order)?;
        let wanted = case.open.get(&digest).into_iter().flatten();
        let places: Vec<_> = wanted.filter(|(length, _)| *length == member.length).map(|(_, place)| *place).collect();
        // One who waits for it in vain, because of a wrong length, is found out by its hash: staged to no place.
        let hashed = case.open.contains_key(&digest);
        Ok(Step::Do(if places.is_empty() && !hashed { Disposition::Skip } else { Disposition::Stage(places) }))
    }
}
