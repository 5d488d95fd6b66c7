//! The boundary in a bundle: which documents an appliance wants, and what they allow it.
//!
//! A boundary that is refused leaves the one before in force and the owners alone. A tenant's document is part of the
//! tenant: where that is refused, the tenant is, and has no flows.

use std::collections::BTreeMap;

use thiserror::Error;

use super::catalogue::sha256;
use super::refusal::{OwnerRefusal, in_words};
use crate::boundary::{Boundary, BoundaryError, Envelope, MAX_DOCUMENT, MAX_FLOWS, Policy, TenantFlows};
use crate::code::{Code, Explain};
use crate::device::assignment::Assignment;
use crate::device::id::{Name, Owner};
use crate::digest::Digest;
use crate::tuf::client::Client;
use crate::tuf::profile::boundary_role;
use crate::tuf::role::Version;
use crate::tuf::targets::Targets;

/// What the bundle says about one appliance's boundary.
#[derive(Clone, Debug)]
pub struct BoundaryVerdict {
    /// The version the snapshot names for role `boundary`; none where the assignment names no boundary.
    pub version: Option<Version>,
    /// The boundary, or why the one before stays in force.
    pub outcome: Result<SignedBoundary, BoundaryRefusal>,
}

impl BoundaryVerdict {
    /// What is said of an appliance whose documents nobody came to read.
    pub(super) fn unread() -> Self {
        Self { version: None, outcome: Err(BoundaryRefusal::Unlisted { target: Envelope::TARGET.into() }) }
    }
}

/// A verified boundary, as far as it concerns one appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBoundary {
    /// The documents; none where the assignment names no boundary, so that nothing is allowed.
    pub papers: Option<Papers>,
    /// What the boundary allows this appliance: without the flows of owners the assignment does not name. The host's
    /// enforcer finds the same.
    pub allow: Policy,
    /// The same as the tenants leave it. Without the flows of tenants whose document is refused, and of those in
    /// `unheard`.
    pub policy: Policy,
    /// Tenants whose role does not verify: what they leave of their flows is not known.
    pub unheard: Vec<Owner>,
}

/// The documents behind a boundary, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Papers {
    /// By which the assignment names it.
    pub name: Name,
    /// SHA-256 of `raw`.
    pub digest: Digest,
    /// `boundary/<name>.json`.
    pub raw: Vec<u8>,
    /// SHA-256 of `envelope_raw`, which root binds.
    pub envelope: Digest,
    /// `boundary/envelope.json`.
    pub envelope_raw: Vec<u8>,
}

impl SignedBoundary {
    /// Its name, if the assignment names one.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        self.papers.as_ref().map(|papers| &papers.name)
    }

    /// The policy on an appliance that had `before`: a tenant that cannot be heard keeps what it had of its flows, as
    /// far as the boundary still gives it that. Where the whole would be more than one policy holds, tenants whose flows
    /// came to more pieces than the boundary gives them flows lose theirs: room for those is left in `policy`.
    #[must_use]
    pub fn policy_after(&self, before: &Policy) -> Policy {
        let kept = self.unheard.iter().map(|tenant| {
            let given = of(&self.allow, tenant);
            (given.flows.len(), given.intersection(&of(before, tenant)).flows)
        });
        let mut kept: Vec<_> = kept.collect();
        if self.policy.flows.len() + kept.iter().map(|(_, flows)| flows.len()).sum::<usize>() > MAX_FLOWS {
            kept.retain(|(given, flows)| flows.len() <= *given);
        }
        let kept = kept.into_iter().flat_map(|(_, flows)| flows);
        Policy { flows: self.policy.flows.iter().cloned().chain(kept).collect(), ..self.policy.clone() }
    }
}

/// Why the boundary an assignment names does not come into force; the owners are not affected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BoundaryRefusal {
    /// The role does not verify.
    #[error("role boundary does not verify: {why}")]
    Unverified {
        /// The role's own code.
        code: Code,
        /// The client's words.
        why: String,
    },
    /// The role verifies, but does not list a document.
    #[error("role boundary lists no {target}")]
    Unlisted {
        /// Its target path.
        target: String,
    },
    /// A document breaks a rule.
    #[error("{target}: {why}")]
    Document {
        /// Its target path.
        target: String,
        /// Which kind of rule.
        code: Code,
        /// The rule, and what breaks it.
        why: String,
    },
}

impl Explain for BoundaryRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Unverified { code, .. } | Self::Document { code, .. } => *code,
            Self::Unlisted { .. } => Code::BoundaryInvalid,
        }
    }
}

/// Whether `target` is the path of a boundary document: these are read whole, among the manifests.
pub(super) fn is_document(target: &str) -> bool {
    let parts: Vec<_> = target.split('/').collect();
    matches!(parts[..], ["boundary", _] | ["tenants", _, "boundary.json"])
}

/// The documents that addressed appliances want, by content.
#[derive(Debug, Default)]
pub(super) struct Documents {
    wanted: BTreeMap<Digest, Option<Vec<u8>>>,
}

impl Documents {
    /// Every delegated role has been read: notes which documents `assignment` asks for.
    ///
    /// # Errors
    /// The role's metadata should have been in the archive; its member name.
    pub(super) fn choose(&mut self, client: &mut Client, assignment: &Assignment) -> Result<(), String> {
        let mut missing = None;
        if let Some(name) = &assignment.boundary {
            let role = boundary_role();
            if client.load(&role).is_none() {
                // The client would go on asking for it.
                let _ = client.absent();
                let version = version(client).map_or_else(String::new, |version| format!("{version}."));
                missing = Some(format!("metadata/{version}{role}.json"));
            }
            if let Some(targets) = client.delegated(&role) {
                self.want(targets.get(), Envelope::TARGET);
                self.want(targets.get(), &Boundary::target_path(name));
            }
        }
        for tenant in tenants(assignment) {
            if let Some(targets) = client.delegated(&tenant.role()) {
                self.want(targets.get(), &TenantFlows::target_path(&tenant));
            }
        }
        missing.map_or(Ok(()), Err)
    }

    /// What nobody would read need not be there.
    fn want(&mut self, targets: &Targets, target: &str) {
        let file = targets.targets.get(target).filter(|file| file.length <= MAX_DOCUMENT);
        self.wanted.extend(file.and_then(sha256).map(|digest| (digest, None)));
    }

    pub(super) fn awaits(&self, digest: &Digest) -> bool {
        self.wanted.get(digest).is_some_and(Option::is_none)
    }

    /// The wanted documents that have not come.
    pub(super) fn missing(&self) -> impl Iterator<Item = &Digest> {
        self.wanted.iter().filter(|(_, content)| content.is_none()).map(|(digest, _)| digest)
    }

    pub(super) fn take(&mut self, digest: Digest, raw: &[u8]) {
        if let Some(content) = self.wanted.get_mut(&digest) {
            *content = Some(raw.to_vec());
        }
    }

    /// Every document has been read: what they come to for the appliance of `assignment`, and the tenants who are
    /// refused for theirs.
    pub(super) fn judge(
        &self,
        client: &Client,
        assignment: &Assignment,
    ) -> (BoundaryVerdict, BTreeMap<Owner, OwnerRefusal>) {
        let signed = match &assignment.boundary {
            None => Ok((None, Policy::default())),
            Some(name) => self.signed(client, name).map(|(papers, policy)| (Some(papers), served(policy, assignment))),
        };
        let allow = signed.as_ref().ok().map(|(_, policy)| policy);
        let (mut policy, mut unheard) = (allow.cloned().unwrap_or_default(), Vec::new());
        let mut refused = BTreeMap::new();
        for tenant in tenants(assignment) {
            let Some(targets) = client.delegated(&tenant.role()) else {
                unheard.push(tenant);
                continue;
            };
            match self.narrowed(targets.get(), &tenant, allow.map(|_| &policy)) {
                Ok(None) => {}
                Ok(Some(narrowed)) => policy = narrowed,
                Err(refusal) => {
                    take_away(&mut policy, &tenant);
                    refused.insert(tenant, refusal);
                }
            }
        }
        // Not before: what they may keep counts among the flows others leave room for.
        unheard.iter().for_each(|tenant| take_away(&mut policy, tenant));
        let version = assignment.boundary.as_ref().and_then(|_| version(client));
        let outcome = signed.map(|(papers, allow)| SignedBoundary { papers, allow, policy, unheard });
        (BoundaryVerdict { version, outcome }, refused)
    }

    /// The boundary `name`, inside the envelope that root binds.
    fn signed(&self, client: &Client, name: &Name) -> Result<(Papers, Policy), BoundaryRefusal> {
        let role = boundary_role();
        let Some(targets) = client.delegated(&role) else {
            let (code, why) = client
                .broken(&role)
                .map_or((Code::BoundaryInvalid, String::new()), |error| (error.code(), in_words(error)));
            return Err(BoundaryRefusal::Unverified { code, why });
        };
        let targets = targets.get();
        let target = Boundary::target_path(name);
        let refuse = |target: &str, error: &BoundaryError| document(target, error);
        let bound = client.envelope();
        if bound.is_none() {
            let (expected, found) = ("no envelope".into(), format!("boundary {name}"));
            return Err(refuse(&target, &BoundaryError::Envelope { expected, found }));
        }
        let envelope_raw = self.content(targets, Envelope::TARGET)?;
        let raw = self.content(targets, &target)?;
        let jurisdiction = client.jurisdiction().ok_or_else(|| BoundaryRefusal::Unlisted { target: target.clone() })?;
        let envelope =
            Envelope::parse(envelope_raw, bound, jurisdiction).map_err(|error| refuse(Envelope::TARGET, &error))?;
        let boundary = Boundary::parse(raw, name).map_err(|error| refuse(&target, &error))?;
        envelope.admit(&boundary).map_err(|error| refuse(&target, &error))?;
        let papers = Papers {
            name: name.clone(),
            digest: Digest::of(raw),
            raw: raw.to_vec(),
            envelope: Digest::of(envelope_raw),
            envelope_raw: envelope_raw.to_vec(),
        };
        Ok((papers, boundary.allow))
    }

    /// `policy` as `tenant` leaves it; `None` = as it is. Without a boundary to hold it against, its
    /// document can only be malformed.
    fn narrowed(
        &self,
        targets: &Targets,
        tenant: &Owner,
        policy: Option<&Policy>,
    ) -> Result<Option<Policy>, OwnerRefusal> {
        let target = TenantFlows::target_path(tenant);
        if !targets.targets.contains_key(&target) {
            return Ok(None);
        }
        let refuse = |refusal: BoundaryRefusal| {
            let (target, code) = (target.clone(), refusal.code());
            let why = match refusal {
                BoundaryRefusal::Document { why, .. } => why,
                other => other.to_string(),
            };
            OwnerRefusal::Boundary { target, code, why }
        };
        let raw = self.content(targets, &target).map_err(refuse)?;
        let wrong = |error| refuse(document(&target, &error));
        let written = TenantFlows::parse(raw).map_err(wrong)?;
        policy.map(|policy| policy.narrowed_by(tenant, &written.flows)).transpose().map_err(wrong)
    }

    fn content(&self, targets: &Targets, target: &str) -> Result<&[u8], BoundaryRefusal> {
        let unlisted = || BoundaryRefusal::Unlisted { target: target.into() };
        let file = targets.targets.get(target).ok_or_else(unlisted)?;
        if file.length > MAX_DOCUMENT {
            return Err(document(target, &BoundaryError::Length(file.length)));
        }
        let content = sha256(file).and_then(|digest| self.wanted.get(&digest)?.as_deref()).ok_or_else(unlisted)?;
        if content.len() as u64 == file.length {
            return Ok(content);
        }
        let why = format!("{} bytes are signed for it, it has {}", file.length, content.len());
        Err(BoundaryRefusal::Document { target: target.into(), code: Code::BoundaryInvalid, why })
    }
}

/// `policy` without the flows of owners this appliance does not serve.
fn served(mut policy: Policy, assignment: &Assignment) -> Policy {
    let owners = assignment.owners();
    policy.flows.retain(|flow| flow.owner.as_ref().is_none_or(|owner| owners.contains(owner)));
    policy
}

/// The flows of `tenant` in `policy`, and nothing else.
fn of(policy: &Policy, tenant: &Owner) -> Policy {
    let flows = policy.flows.iter().filter(|flow| flow.owner.as_ref() == Some(tenant)).cloned();
    Policy { flows: flows.collect(), ..Policy::default() }
}

fn take_away(policy: &mut Policy, tenant: &Owner) {
    policy.flows.retain(|flow| flow.owner.as_ref() != Some(tenant));
}

fn tenants(assignment: &Assignment) -> impl Iterator<Item = Owner> {
    assignment.owners().into_iter().filter(|owner| matches!(owner, Owner::Tenant(_)))
}

fn version(client: &Client) -> Option<Version> {
    Some(client.snapshot()?.get().meta.get(&boundary_role().meta_name())?.version)
}

fn document(target: &str, error: &BoundaryError) -> BoundaryRefusal {
    BoundaryRefusal::Document { target: target.into(), code: error.code(), why: in_words(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_cannot_be_heard_keeps_its_flows_unless_their_pieces_fill_the_policy() {
        let flow = |owner: &str, ports: String| -> crate::boundary::Flow {
            let owner = if owner.is_empty() { String::new() } else { format!(",\"owner\":\"tenant.{owner}\"") };
            let text = format!(
                "{{\"purpose\":\"x\",\"direction\":\"out\",\"protocol\":\"tcp\",\"network\":\"10.0.0.0/8\",\"ports\":\"{ports}\"{owner}}}"
            );
            serde_json::from_str(&text).unwrap()
        };
        let operator = |count: u16| (1..=count).map(move |port| flow("", port.to_string()));
        let north = flow("north", "1-1000".into());
        let pieces: Vec<_> = (1..=10).map(|port| flow("south", port.to_string())).collect();
        let before = Policy { flows: [vec![north.clone()], pieces.clone()].concat(), ..Policy::default() };
        let given = [north.clone(), flow("south", "1-1000".into())];
        let after = |count: u16| {
            let own = Policy { flows: operator(count).collect(), ..Policy::default() };
            let allow = Policy { flows: own.flows.iter().chain(&given).cloned().collect(), ..Policy::default() };
            let unheard = ["tenant.north", "tenant.south"].map(|owner| owner.parse().unwrap()).to_vec();
            SignedBoundary { papers: None, allow, policy: own, unheard }.policy_after(&before)
        };
        assert_eq!(after(100).flows.len(), 111);
        let full = after(254);
        full.check().unwrap();
        assert!(full.flows.contains(&north) && !full.flows.contains(&pieces[0]));
        assert_eq!(full.flows.len(), 255);
    }
}
