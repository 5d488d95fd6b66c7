//! Assignments.

use std::collections::BTreeMap;

use super::super::addressing::appliance_of;
use super::super::case::{Case, Pending, Step};
use super::super::catalogue::{Catalogue, Order, sha256};
use super::super::refusal::Refusal;
use super::super::verdict::Disposition;
use super::roles::Roles;
use super::{Stage, is_owner, misplaced};
use crate::bundle::archive::{Member, MemberKind};
use crate::device::assignment::{Assignment, MAX_ASSIGNMENT};
use crate::digest::Digest;
use crate::tuf::client::Lookup;
use crate::tuf::targets::TargetFile;

/// What is listed, and which of it is to be read.
#[derive(Debug)]
pub(in super::super) struct Assignments {
    listed: Catalogue,
    wanted: BTreeMap<Digest, String>,
}

impl Assignments {
    pub(super) fn enter(case: &mut Case) -> Result<Self, Refusal> {
        let mut paths: BTreeMap<String, TargetFile> = BTreeMap::new();
        let bins = case.verified.iter().filter_map(|role| case.client.delegated(role));
        for targets in case.client.targets().into_iter().chain(bins) {
            let assignments = targets.get().targets.iter().filter(|(path, _)| appliance_of(path).is_some());
            for (path, file) in assignments {
                paths.entry(path.clone()).or_insert_with(|| file.clone());
            }
        }
        let asked: Vec<String> = match case.device() {
            Some(device) => vec![Assignment::target_path(&device.id)],
            None => paths.keys().cloned().collect(),
        };
        let mut wanted = BTreeMap::new();
        for path in asked {
            match case.client.lookup(&path) {
                Lookup::Found { file, .. } => wanted.extend(sha256(&file).map(|digest| (digest, path))),
                Lookup::Absent => {}
                // The bin is not in the bundle, so the bundle is for others. The client need not go on asking.
                Lookup::Wants => drop(case.client.absent()),
                Lookup::Broken { role } => {
                    let known = case.unverified.iter().find(|unverified| unverified.role == role);
                    let (code, why) = known.map_or_else(
                        || (crate::code::Code::OwnerUnverified, String::new()),
                        |unverified| (unverified.code, unverified.why.clone()),
                    );
                    return Err(Refusal::Bin { role, code, why });
                }
            }
        }
        let listed = Catalogue::of(paths.iter().map(|(path, file)| (path.as_str(), file)));
        Ok(Self { listed, wanted })
    }

    pub(super) fn member(&mut self, case: &mut Case, member: Option<&Member>) -> Result<Step, Refusal> {
        if let Some(member) = member
            && let MemberKind::Object { digest } = member.kind
        {
            if self.listed.lists(&digest) {
                self.listed.pass(&digest, member.length, Order::Strict)?;
                return match self.wanted.remove(&digest) {
                    Some(target) => case.read(member, MAX_ASSIGNMENT, Pending::Assignment { digest, target }),
                    None => Ok(Step::Do(Disposition::Skip)),
                };
            }
            if !case.unverified.is_empty() {
                return case.unknown(member, "no signed metadata lists it");
            }
        }
        if let Some(member) = member
            && let MemberKind::Metadata { role, .. } = &member.kind
            && !is_owner(role)
        {
            return Err(misplaced(member, "it comes before the assignments, and once"));
        }
        Ok(Step::Next(Box::new(Self::leave(case)?)))
    }

    /// Target paths of those that are to be read still.
    pub(in super::super) fn wanted(&self) -> Vec<String> {
        self.wanted.values().cloned().collect()
    }

    /// All there are were handed in: what comes next.
    pub(super) fn leave(case: &Case) -> Result<Stage, Refusal> {
        match case.device() {
            Some(device) if case.addressees.is_empty() => Err(Refusal::NotAddressed { appliance: device.id.clone() }),
            _ => Ok(Stage::Roles(Roles::default())),
        }
    }
}
