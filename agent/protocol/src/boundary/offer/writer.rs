//! The agent's side: what it keeps of a verified bundle, as an offer.

use std::collections::BTreeMap;

use super::MAX_OFFER;
use super::error::OfferError;
use crate::boundary::{Boundary, Envelope};
use crate::bundle::appraisal::{Papers, Verdict};
use crate::bundle::archive::{MemberKind, Writer};
use crate::device::assignment::Assignment;
use crate::digest::Digest;
use crate::signed::Unverified;
use crate::tuf::profile;
use crate::tuf::role::{RoleName, Version};

/// What an offer is made of, all of it as received in one bundle.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// Every root after the one the appliance was enrolled with, in order.
    pub roots: &'a [Vec<u8>],
    /// Metadata by role ([`crate::bundle::appraisal::Trust::metadata`]); owners' roles in it are left out, and roles
    /// that list other assignments only.
    pub metadata: &'a BTreeMap<RoleName, Vec<u8>>,
    /// The appliance's assignment.
    pub assignment: &'a [u8],
    /// Envelope and boundary, if the assignment names one.
    pub papers: Option<&'a Papers>,
}

impl<'a> Contents<'a> {
    /// What `verdict` brings; `None` if its boundary is refused. `roots` are all after the one the appliance was
    /// enrolled with, those that the verdict brings included.
    #[must_use]
    pub fn of(verdict: &'a Verdict, roots: &'a [Vec<u8>]) -> Option<Self> {
        let boundary = verdict.addressee.boundary.outcome.as_ref().ok()?;
        let (metadata, assignment) = (&verdict.trust.metadata, verdict.addressee.assignment_raw.as_slice());
        Some(Self { roots, metadata, assignment, papers: boundary.papers.as_ref() })
    }
}

/// The offer that `contents` make.
///
/// # Errors
/// Metadata without a version, or more than [`MAX_OFFER`] bytes.
pub fn write(contents: &Contents<'_>) -> Result<Vec<u8>, OfferError> {
    let mut offer = Vec::new();
    let mut metadata = |role: &RoleName, raw: &[u8]| {
        let version = version(raw).ok_or_else(|| OfferError::Metadata { role: role.clone() })?;
        Ok::<_, OfferError>(Writer::append(&mut offer, &MemberKind::Metadata { role: role.clone(), version }, raw)?)
    };
    for root in contents.roots {
        metadata(&RoleName::root(), root)?;
    }
    let top = [RoleName::timestamp(), RoleName::snapshot(), RoleName::targets()];
    for role in &top {
        metadata(role, contents.metadata.get(role).ok_or_else(|| OfferError::Metadata { role: role.clone() })?)?;
    }
    let bins = contents.metadata.iter().filter(|(role, _)| !top.contains(role) && !profile::is_owner(role));
    let target = assigned(contents.assignment);
    for (role, raw) in bins.filter(|(_, raw)| leads_to(target.as_deref(), raw)) {
        metadata(role, raw)?;
    }
    append(&mut offer, contents.assignment)?;
    if let Some(papers) = contents.papers {
        let role = profile::boundary_role();
        let raw = contents.metadata.get(&role).ok_or_else(|| OfferError::Metadata { role: role.clone() })?;
        let version = version(raw).ok_or_else(|| OfferError::Metadata { role: role.clone() })?;
        Writer::append(&mut offer, &MemberKind::Metadata { role, version }, raw)?;
        // By their target paths, as everywhere.
        let mut documents =
            [(Envelope::TARGET.to_owned(), &papers.envelope_raw), (Boundary::target_path(&papers.name), &papers.raw)];
        documents.sort();
        documents.iter().try_for_each(|(_, raw)| append(&mut offer, raw))?;
    }
    offer.extend_from_slice(Writer::end());
    match offer.len() as u64 {
        length if length > MAX_OFFER => Err(OfferError::Length(length)),
        _ => Ok(offer),
    }
}

/// The target path of the assignment.
fn assigned(raw: &[u8]) -> Option<String> {
    let assignment: Assignment = serde_json::from_slice(raw).ok()?;
    Some(Assignment::target_path(&assignment.appliance))
}

/// Whether a role lists `target`, or delegates further: a bundle for many brings many that do neither.
fn leads_to(target: Option<&str>, raw: &[u8]) -> bool {
    let Ok(document) = Unverified::parse(raw) else { return false };
    let listed = |target: &str| document.signed().get("targets").is_some_and(|targets| targets.get(target).is_some());
    target.is_some_and(listed) || document.signed().get("delegations").is_some()
}

fn append(offer: &mut Vec<u8>, content: &[u8]) -> Result<(), OfferError> {
    Ok(Writer::append(offer, &MemberKind::Object { digest: Digest::of(content) }, content)?)
}

fn version(raw: &[u8]) -> Option<Version> {
    let document = Unverified::parse(raw).ok()?;
    serde_json::from_value(document.signed().get("version")?.clone()).ok()
}
