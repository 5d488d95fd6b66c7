//! Manifests, and boundary documents among them.

use std::collections::BTreeMap;

use super::super::case::{Case, Pending, Step};
use super::super::catalogue::{Catalogue, Order};
use super::super::refusal::Refusal;
use super::super::verdict::Disposition;
use super::files::Files;
use super::{Stage, is_read_whole};
use crate::bundle::archive::{Member, MemberKind};
use crate::bundle::manifest::MAX_MANIFEST;
use crate::tuf::targets::TargetFile;

/// What is listed.
#[derive(Debug)]
pub(in super::super) struct Manifests {
    manifests: Catalogue,
    files: Catalogue,
}

impl Manifests {
    pub(super) fn enter(case: &mut Case) -> Self {
        case.choose_manifests();
        let roles = case.verified.iter().filter(|role| super::is_owner(role));
        let targets = roles.filter_map(|role| case.client.delegated(role));
        let paths: BTreeMap<&str, &TargetFile> = targets
            .flat_map(|targets| targets.get().targets.iter())
            .map(|(path, file)| (path.as_str(), file))
            .collect();
        let of = |manifests: bool| {
            let chosen = paths.iter().filter(move |(path, _)| is_read_whole(path) == manifests);
            Catalogue::of(chosen.map(|(path, file)| (*path, *file)))
        };
        Self { manifests: of(true), files: of(false) }
    }

    pub(super) fn member(&mut self, case: &mut Case, member: Option<&Member>) -> Result<Step, Refusal> {
        if let Some(member) = member
            && let MemberKind::Object { digest } = member.kind
        {
            // What is listed as a file too stands in both sections: here it comes first.
            let is_file = self.files.lists(&digest);
            if self.manifests.lists(&digest) && !(is_file && self.manifests.has_passed(&digest)) {
                let order = if case.unverified.is_empty() { Order::Strict } else { Order::Unknown };
                self.manifests.pass(&digest, member.length, order)?;
                return if case.awaits(&digest) {
                    case.read(member, MAX_MANIFEST, Pending::Manifest { digest })
                } else {
                    Ok(Step::Do(Disposition::Skip))
                };
            }
            // While manifests are to come, a file stands here because a role that does not verify calls it its manifest.
            if !case.unverified.is_empty() && (!is_file || case.awaits_manifests()) {
                return case.unknown(member, "no signed metadata lists it");
            }
        }
        case.collect_wanted();
        case.contested = self.files.contested();
        let files = Files::new(std::mem::take(&mut self.files), std::mem::take(&mut self.manifests));
        Ok(Step::Next(Box::new(Stage::Files(files))))
    }
}
