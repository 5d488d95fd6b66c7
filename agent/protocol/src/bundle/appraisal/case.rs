//! What an appraisal has found so far.

use std::collections::{BTreeMap, BTreeSet};

use super::boundary::{BoundaryVerdict, Documents};
use super::judge::Audience;
use super::owners;
use super::presumes::Presumes;
use super::refusal::{OwnerRefusal, Refusal, in_words};
use super::stage::Stage;
use super::verdict::{
    Addressee, Device, Disposition, Inspection, OwnerManifest, OwnerVerdict, Placement, Trust, Unverified, Wanted,
};
use crate::bundle::archive::{Member, MemberKind};
use crate::bundle::manifest::MAX_MANIFEST;
use crate::bundle::part::MAX_PART;
use crate::code::Explain;
use crate::device::assignment::Assignment;
use crate::device::id::{Jurisdiction, Owner};
use crate::digest::Digest;
use crate::tuf::client::{Client, TufError};
use crate::tuf::role::{RoleName, Version};

/// All metadata, assignments and manifests of one bundle together, bytes.
const MAX_READ: u64 = 64 * 1024 * 1024;
/// Parts the addressed owners' files may be made of.
pub const MAX_WANTED_PARTS: usize = 262_144;
/// Objects that pass unread because a declared role does not verify.
const MAX_UNKNOWN: u64 = 65_536;
/// Their bytes.
const MAX_UNKNOWN_BYTES: u64 = 16 * 1024 * 1024 * 1024;

/// What a stage says about a member.
pub(super) enum Step {
    Do(Disposition),
    Read(Pending),
    /// Not mine: ask the next stage.
    Next(Box<Stage>),
}

/// What the content asked for will be.
#[derive(Debug)]
pub(super) enum Pending {
    Top { role: RoleName, version: Version },
    Role { role: RoleName, member: String },
    Assignment { digest: Digest, target: String },
    Manifest { digest: Digest },
    Presumes,
}

/// One addressed appliance while its manifests are still to come.
#[derive(Debug)]
pub(super) struct Addressed {
    pub(super) assignment: Assignment,
    raw: Vec<u8>,
    owners: Vec<Slot>,
    boundary: Option<BoundaryVerdict>,
}

/// One owner of an addressed appliance.
#[derive(Debug)]
struct Slot {
    owner: Owner,
    version: Option<Version>,
    outcome: Option<Result<OwnerManifest, OwnerRefusal>>,
}

/// Where a manifest's content goes.
#[derive(Debug)]
struct Reference {
    addressee: usize,
    owner: usize,
    target: String,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) client: Client,
    audience: Audience,
    pub(super) addressees: Vec<Addressed>,
    /// Delegated roles in the archive that verified.
    pub(super) verified: BTreeSet<RoleName>,
    pub(super) unverified: Vec<Unverified>,
    manifests: BTreeMap<Digest, Vec<Reference>>,
    documents: Documents,
    pub(super) presumes: Option<Presumes>,
    /// By id and length: owners may disagree about how long one content is.
    pub(super) wanted: BTreeMap<(Digest, u64), Wanted>,
    /// Whole objects that are there, with the length they have.
    pub(super) held: BTreeMap<Digest, u64>,
    pub(super) held_parts: BTreeSet<(Digest, usize)>,
    pub(super) settled: bool,
    /// Parts still to come, by digest.
    pub(super) open: BTreeMap<Digest, Vec<(u64, Placement)>>,
    /// How long a part really is, where that is known.
    lengths: BTreeMap<Digest, u64>,
    /// Parts for which verified roles sign different lengths.
    pub(super) contested: BTreeSet<Digest>,
    /// Somebody else has read the whole archive and found all there is to find.
    pub(super) exhausted: bool,
    /// Metadata that should have been in the archive.
    missing: Vec<String>,
    read: u64,
    unknown: (u64, u64),
}

impl Case {
    pub(super) fn new(client: Client, audience: Audience) -> Self {
        Self {
            client,
            audience,
            addressees: Vec::new(),
            verified: BTreeSet::new(),
            unverified: Vec::new(),
            manifests: BTreeMap::new(),
            documents: Documents::default(),
            presumes: None,
            wanted: BTreeMap::new(),
            held: BTreeMap::new(),
            held_parts: BTreeSet::new(),
            settled: false,
            open: BTreeMap::new(),
            lengths: BTreeMap::new(),
            contested: BTreeSet::new(),
            exhausted: false,
            missing: Vec::new(),
            read: 0,
            unknown: (0, 0),
        }
    }

    pub(super) fn device(&self) -> Option<&Device> {
        match &self.audience {
            Audience::Appliance(device) | Audience::Enforcer(device) => Some(device),
            Audience::Everybody => None,
        }
    }

    pub(super) fn jurisdiction(&self) -> Result<Jurisdiction, Refusal> {
        let rule = "the root binds a jurisdiction";
        self.client.jurisdiction().ok_or(Refusal::Metadata(TufError::Profile { role: RoleName::root(), rule }))
    }

    /// `member` is to be read whole: it must fit `limit` and the room for everything read.
    pub(super) fn read(&mut self, member: &Member, limit: u64, pending: Pending) -> Result<Step, Refusal> {
        if member.length > limit {
            return Err(Refusal::Length { member: member.kind.to_string(), found: member.length, limit });
        }
        self.read += member.length;
        if self.read > MAX_READ {
            return Err(Refusal::TooMany { what: "bytes of metadata and manifests", limit: MAX_READ });
        }
        Ok(Step::Read(pending))
    }

    /// An object that nothing verified lists: tolerable only while a declared role did not verify, and within a cap.
    pub(super) fn unknown(&mut self, member: &Member, why: &'static str) -> Result<Step, Refusal> {
        if self.unverified.is_empty() {
            return Err(Refusal::Unexpected { member: member.kind.to_string(), why });
        }
        if member.length > MAX_PART {
            return Err(Refusal::Length { member: member.kind.to_string(), found: member.length, limit: MAX_PART });
        }
        self.unknown = (self.unknown.0 + 1, self.unknown.1 + member.length);
        if self.unknown.0 > MAX_UNKNOWN || self.unknown.1 > MAX_UNKNOWN_BYTES {
            return Err(Refusal::TooMany { what: "objects of roles that do not verify", limit: MAX_UNKNOWN });
        }
        Ok(Step::Do(Disposition::Skip))
    }

    /// The version the snapshot lists for `role`.
    pub(super) fn listed(&self, role: &RoleName) -> Option<Version> {
        Some(self.client.snapshot()?.get().meta.get(&role.meta_name())?.version)
    }

    pub(super) fn top(&mut self, role: &RoleName, named: Version, raw: &[u8]) -> Result<(), Refusal> {
        self.client.got(raw)?;
        // A timestamp is asked for without a version; the others are held to it by the client.
        let found = self.client.timestamp().map(|timestamp| timestamp.get().version);
        match found {
            Some(found) if *role == RoleName::timestamp() && found != named => {
                Err(Refusal::Version { role: role.clone(), expected: named, found })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn role(&mut self, role: &RoleName, member: &str, raw: &[u8]) -> Result<(), Refusal> {
        self.client.got(raw)?;
        if self.note(role) {
            Ok(())
        } else {
            Err(Refusal::Unexpected { member: member.into(), why: "the role that delegates to it comes first" })
        }
    }

    /// Remembers whether the delegated `role` verifies. `false` if that is not known yet.
    pub(super) fn note(&mut self, role: &RoleName) -> bool {
        let unverified = match self.client.load(role) {
            None => return false,
            Some(Ok(_)) => {
                self.verified.insert(role.clone());
                return true;
            }
            Some(Err(error)) => unverified(role, error),
        };
        self.unverified.push(unverified);
        true
    }

    pub(super) fn assigned(&mut self, assignment: Assignment, raw: &[u8]) {
        self.addressees.push(Addressed { assignment, raw: raw.to_vec(), owners: Vec::new(), boundary: None });
    }

    /// Nothing but the boundary is asked for.
    pub(super) fn is_boundary_only(&self) -> bool {
        matches!(self.audience, Audience::Enforcer(_))
    }

    /// Every delegated role has been read: finds the manifest of every addressed owner, and the boundary documents.
    pub(super) fn choose_manifests(&mut self) {
        for addressee in 0..self.addressees.len() {
            let assignment = self.addressees[addressee].assignment.clone();
            let owners = if self.is_boundary_only() { Vec::new() } else { assignment.owners() };
            for (index, owner) in owners.into_iter().enumerate() {
                let version = self.listed(&owner.role());
                let outcome =
                    self.choose(&owner, version, &assignment, |target| Reference { addressee, owner: index, target });
                self.addressees[addressee].owners.push(Slot { owner, version, outcome });
            }
            self.missing.extend(self.documents.choose(&mut self.client, &assignment).err());
        }
    }

    fn choose(
        &mut self,
        owner: &Owner,
        version: Option<Version>,
        assignment: &Assignment,
        reference: impl Fn(String) -> Reference,
    ) -> Option<Result<OwnerManifest, OwnerRefusal>> {
        let role = owner.role();
        let targets = match self.client.load(&role) {
            Some(Ok(targets)) => targets.get(),
            Some(Err(error)) => {
                let Unverified { role, code, why } = unverified(&role, error);
                return Some(Err(OwnerRefusal::Unverified { role, code, why }));
            }
            None => {
                // The client would go on asking for it; whether it minds its absence makes no difference any more.
                let _ = self.client.absent();
                let version = version.map_or_else(String::new, |version| format!("{version}."));
                self.missing.push(format!("metadata/{version}{role}.json"));
                return None;
            }
        };
        let Some(target) = owners::manifest_for(owner, &assignment.appliance, targets) else {
            return Some(Err(OwnerRefusal::NoManifest { role }));
        };
        let file = &targets.targets[&target];
        let Some(digest) = super::catalogue::sha256(file) else {
            return Some(Err(OwnerRefusal::Manifest { target, why: "no SHA-256 is signed for it".into() }));
        };
        if file.length > MAX_MANIFEST {
            let why = format!("{} bytes are signed for it, at most {MAX_MANIFEST} are allowed", file.length);
            return Some(Err(OwnerRefusal::Manifest { target, why }));
        }
        self.manifests.entry(digest).or_default().push(reference(target));
        None
    }

    /// Whether some manifest or boundary document is still to be read.
    pub(super) fn awaits_manifests(&self) -> bool {
        !self.manifests.is_empty() || self.documents.missing().next().is_some()
    }

    /// Whether the manifest or boundary document `digest` is still to be read for somebody.
    pub(super) fn awaits(&self, digest: &Digest) -> bool {
        self.manifests.contains_key(digest) || self.documents.awaits(digest)
    }

    pub(super) fn manifest(&mut self, digest: Digest, raw: &[u8]) {
        self.documents.take(digest, raw);
        for Reference { addressee, owner, target } in self.manifests.remove(&digest).unwrap_or_default() {
            let slot = &mut self.addressees[addressee].owners[owner];
            let targets = self.client.delegated(&slot.owner.role());
            slot.outcome = targets.map(|targets| owners::parse(&slot.owner, &target, raw, targets.get()));
        }
    }

    pub(super) fn presume(&mut self, raw: &[u8]) -> Result<(), Refusal> {
        self.presumes = Some(Presumes::parse(raw)?);
        Ok(())
    }

    /// Every manifest has been read, and every boundary document: what all of them together want.
    pub(super) fn collect_wanted(&mut self) {
        for addressee in &mut self.addressees {
            addressee.bound(&self.documents, &self.client);
            addressee.refuse_excess(MAX_WANTED_PARTS);
        }
        let owners = self.addressees.iter().flat_map(|addressee| &addressee.owners);
        for manifest in owners.filter_map(Slot::manifest) {
            self.wanted.extend(manifest.objects.iter().map(|wanted| ((wanted.object, wanted.length), wanted.clone())));
        }
    }

    pub(super) fn settle(&mut self) {
        self.settled = true;
        for wanted in self.wanted.values() {
            let held = self.held.get(&wanted.object);
            for (index, part) in wanted.parts.iter().enumerate() {
                if held == Some(&wanted.length) || self.held_parts.contains(&(wanted.object, index)) {
                    self.lengths.insert(part.sha256, part.length);
                } else if held.is_none() {
                    let (object, object_length) = (wanted.object, wanted.length);
                    let placement = Placement { object, part: index, offset: part.offset, object_length };
                    self.open.entry(part.sha256).or_default().push((part.length, placement));
                }
            }
        }
    }

    /// Places that a wrong length was signed for stay open: nothing can ever fill them.
    pub(super) fn staged(&mut self, digest: &Digest, found: u64) {
        self.lengths.insert(*digest, found);
        if let Some(places) = self.open.get_mut(digest) {
            places.retain(|(length, _)| *length != found);
            if places.is_empty() {
                self.open.remove(digest);
            }
        }
    }

    /// Of lengths that exclude each other the one that asks for least: whoever signs a wrong one must not be able to
    /// have the bundle refused for want of room.
    pub(super) fn bytes_to_stage(&self) -> u64 {
        let least = |places: &Vec<(u64, Placement)>| {
            let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
            for (length, _) in places {
                *sums.entry(*length).or_default() += length;
            }
            sums.into_values().min().unwrap_or(0)
        };
        self.open.values().map(least).sum()
    }

    /// Whether some length in `wanted` is known to be wrong.
    fn is_disproved(&self, wanted: &Wanted) -> bool {
        let other = |known: Option<&u64>, signed: u64| known.is_some_and(|known| *known != signed);
        other(self.held.get(&wanted.object), wanted.length)
            || wanted.parts.iter().any(|part| {
                let is_open = |places: &Vec<(u64, Placement)>| {
                    places
                        .iter()
                        .any(|(_, place)| (place.object, place.object_length) == (wanted.object, wanted.length))
                };
                other(self.lengths.get(&part.sha256), part.length)
                    // Not found by whoever found all the rest, and another owner describes it otherwise.
                    || (self.exhausted
                        && self.contested.contains(&part.sha256)
                        && self.open.get(&part.sha256).is_some_and(is_open))
            })
    }

    /// An owner who signed a wrong length is refused alone, and what only such owners want is no longer waited for.
    fn refuse_disproved(&mut self) {
        let disproved = self.wanted.iter().filter(|(_, wanted)| self.is_disproved(wanted));
        let disproved: BTreeSet<_> = disproved.map(|(key, _)| *key).collect();
        if disproved.is_empty() {
            return;
        }
        let mut wanted = BTreeSet::new();
        for Addressed { assignment, owners, .. } in &mut self.addressees {
            for slot in owners {
                let Some(Ok(manifest)) = &slot.outcome else { continue };
                let keys = || manifest.objects.iter().map(|wanted| (wanted.object, wanted.length));
                let Some((object, length)) = keys().find(|key| disproved.contains(key)) else {
                    wanted.extend(keys());
                    continue;
                };
                let targets = self.client.delegated(&slot.owner.role());
                let target =
                    targets.and_then(|targets| owners::manifest_for(&slot.owner, &assignment.appliance, targets.get()));
                let why = format!("object {object} is signed with {length} bytes, its content has another length");
                slot.outcome = Some(Err(OwnerRefusal::Manifest { target: target.unwrap_or_default(), why }));
            }
        }
        for places in self.open.values_mut() {
            places.retain(|(_, place)| wanted.contains(&(place.object, place.object_length)));
        }
        self.open.retain(|_, places| !places.is_empty());
    }

    pub(super) fn conclude(mut self) -> Result<Inspection, Refusal> {
        self.refuse_disproved();
        let presumed = self.presumes.map(|presumes| presumes.objects).unwrap_or_default();
        let excused: BTreeSet<_> = match self.audience {
            Audience::Everybody => presumed.iter().collect(),
            Audience::Appliance(_) | Audience::Enforcer(_) => BTreeSet::new(),
        };
        let unread = self.documents.missing().filter(|digest| !self.manifests.contains_key(digest));
        let unread = self.manifests.keys().chain(unread);
        let objects = self.open.keys().filter(|digest| !excused.contains(digest)).chain(unread);
        let objects = objects.map(|digest| MemberKind::Object { digest: *digest }.to_string());
        let missing: Vec<_> = self.missing.into_iter().chain(objects).collect();
        if let Some(first) = missing.first() {
            return Err(Refusal::Missing { first: first.clone(), count: missing.len() });
        }
        let trust = trust(&self.client, &self.verified, &self.addressees)
            .ok_or_else(|| Refusal::Unexpected { member: "the end".into(), why: "metadata was expected" })?;
        let addressees = self.addressees.into_iter().map(Addressed::finish).collect();
        Ok(Inspection { trust, addressees, unverified: self.unverified, presumed })
    }
}

impl Slot {
    fn manifest(&self) -> Option<&OwnerManifest> {
        self.outcome.as_ref()?.as_ref().ok()
    }

    fn parts(&self) -> usize {
        self.manifest().map_or(0, |manifest| manifest.objects.iter().map(|wanted| wanted.parts.len()).sum())
    }
}

impl Addressed {
    /// What the boundary documents say about this appliance. A tenant whose own is refused goes without everything.
    fn bound(&mut self, documents: &Documents, client: &Client) {
        let (verdict, mut refused) = documents.judge(client, &self.assignment);
        self.boundary = Some(verdict);
        for slot in &mut self.owners {
            if let Some(refusal) = refused.remove(&slot.owner) {
                slot.outcome = Some(Err(refusal));
            }
        }
    }

    /// More than `limit` parts are no appliance's to hold: whoever wants most goes without, until the others fit.
    fn refuse_excess(&mut self, limit: usize) {
        let mut total: usize = self.owners.iter().map(Slot::parts).sum();
        while total > limit
            && let Some(slot) = self.owners.iter_mut().max_by_key(|slot| slot.parts())
        {
            let found = slot.parts();
            total -= found;
            slot.outcome = Some(Err(OwnerRefusal::TooManyParts { role: slot.owner.role(), found, limit }));
        }
    }

    fn finish(self) -> Addressee {
        let owners = self.owners.into_iter().map(|slot| {
            let nothing = || OwnerRefusal::NoManifest { role: slot.owner.role() };
            let outcome = slot.outcome.unwrap_or_else(|| Err(nothing()));
            OwnerVerdict { owner: slot.owner, version: slot.version, outcome }
        });
        let boundary = self.boundary.unwrap_or_else(BoundaryVerdict::unread);
        Addressee { owners: owners.collect(), assignment: self.assignment, assignment_raw: self.raw, boundary }
    }
}

/// What the client accepted, with the metadata that the addressed appliances need again.
fn trust(client: &Client, verified: &BTreeSet<RoleName>, addressees: &[Addressed]) -> Option<Trust> {
    let (timestamp, snapshot, targets) = (client.timestamp()?, client.snapshot()?, client.targets()?);
    let mut metadata = BTreeMap::from([
        (RoleName::timestamp(), timestamp.raw().to_vec()),
        (RoleName::snapshot(), snapshot.raw().to_vec()),
        (RoleName::targets(), targets.raw().to_vec()),
    ]);
    let owners: BTreeSet<_> =
        addressees.iter().flat_map(|addressee| &addressee.owners).map(|slot| slot.owner.role()).collect();
    let bins = verified.iter().filter(|role| !super::stage::is_owner(role));
    let boundary = addressees.iter().any(|addressee| addressee.assignment.boundary.is_some());
    let boundary = boundary.then(crate::tuf::profile::boundary_role);
    for role in owners.iter().chain(&boundary).chain(bins) {
        if let Some(targets) = client.delegated(role) {
            metadata.insert(role.clone(), targets.raw().to_vec());
        }
    }
    Some(Trust {
        roots: client.roots().to_vec(),
        root_version: client.root().get().version,
        demo: client.is_demo(),
        jurisdiction: client.jurisdiction()?,
        timestamp: timestamp.get().version,
        signed_at: timestamp.get().profile.as_ref()?.signed_at,
        snapshot: snapshot.digest(),
        metadata,
        floors: client.floors().clone(),
        clock: client.clock_quality(),
    })
}

/// `error` as the role's own, with all it says.
fn unverified(role: &RoleName, error: &TufError) -> Unverified {
    Unverified { role: role.clone(), code: error.code(), why: in_words(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::manifest::{Apply, Manifest};
    use crate::bundle::part::Part;
    use crate::bundle::terms::Terms;
    use crate::device::id::Name;

    fn slot(name: &str, parts: u64) -> Slot {
        let owner = Owner::Group(name.parse::<Name>().unwrap());
        let part = |index: u64| Part { target: String::new(), offset: index, length: 1, sha256: Digest::of(b"x") };
        let parts = (0..parts).map(part).collect();
        let objects = vec![Wanted { object: Digest::of(name.as_bytes()), length: 1, parts }];
        let (summary, files, consumers) = (String::new(), Vec::new(), BTreeMap::new());
        let manifest = Manifest { format: 1, owner: owner.clone(), summary, files, apply: Apply::default(), consumers };
        let terms = Terms::default();
        let outcome = OwnerManifest { manifest, terms, raw: Vec::new(), digest: Digest::of(b""), objects };
        Slot { owner, version: None, outcome: Some(Ok(outcome)) }
    }

    #[test]
    fn whoever_wants_most_goes_without_until_the_others_fit() {
        let kept = |limit| {
            let text = format!(
                "{{\"format\":1,\"appliance\":\"a\",\"device\":\"{}\",\"jurisdiction\":\"LU\",\"groups\":[]}}",
                Digest::of(b"")
            );
            let assignment: Assignment = serde_json::from_str(&text).unwrap();
            let owners = vec![slot("a", 3), slot("b", 50), slot("c", 40), slot("d", 2)];
            let mut addressed = Addressed { assignment, raw: Vec::new(), owners, boundary: None };
            addressed.refuse_excess(limit);
            addressed.owners.iter().map(|slot| slot.manifest().is_some()).collect::<Vec<_>>()
        };
        assert_eq!(kept(95), [true; 4]);
        assert_eq!(kept(94), [true, false, true, true]);
        assert_eq!(kept(44), [true, false, false, true]);
        assert_eq!(kept(0), [false; 4]);
    }
}
