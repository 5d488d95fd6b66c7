//! What an appraisal finds.

use std::collections::BTreeMap;

use super::boundary::BoundaryVerdict;
use super::refusal::OwnerRefusal;
use crate::bundle::manifest::Manifest;
use crate::bundle::part::Part;
use crate::bundle::terms::Terms;
use crate::code::Code;
use crate::device::assignment::Assignment;
use crate::device::id::{ApplianceId, Jurisdiction, Owner};
use crate::digest::Digest;
use crate::evidence::receipt::ClockQuality;
use crate::tuf::floors::Floors;
use crate::tuf::role::{RoleName, Version};
use crate::tuf::time::UtcTime;

/// Whom a bundle must address.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its id.
    pub id: ApplianceId,
    /// Where it lives.
    pub jurisdiction: Jurisdiction,
    /// Fingerprint of its keys ([`crate::device::enrolment::DeviceKeys::fingerprint`]).
    pub keys: Digest,
}

/// What to do with a member's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Hand it to the appraisal, whole; its length is within the limit for its kind.
    Read,
    /// Hash it while writing it to every one of these places, which may be none; it must hash to the member's name.
    Stage(Vec<Placement>),
    /// Let it go by.
    Skip,
    /// Every manifest is read: say which of [`super::Appraisal::wanted`] is there already, then ask again.
    Settle,
}

/// Where one part stands in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placement {
    /// The object ([`crate::bundle::part::object_id`]).
    pub object: Digest,
    /// Which of its parts, from 0.
    pub part: usize,
    /// Where the part starts in the object, bytes.
    pub offset: u64,
    /// Length of the whole object, bytes.
    pub object_length: u64,
}

/// One object an owner's generation is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its id.
    pub object: Digest,
    /// Its length, bytes.
    pub length: u64,
    /// Its parts, in order.
    pub parts: Vec<Part>,
}

/// What the bundle proves about the repository, to be kept in one transaction with the outcome.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Root metadata newer than what was stored, in order; may be kept at once, whatever else fails.
    pub roots: Vec<Vec<u8>>,
    /// Version of the root in force.
    pub root_version: Version,
    /// The root allows one person to do everything.
    pub demo: bool,
    /// The root's jurisdiction.
    pub jurisdiction: Jurisdiction,
    /// Version of the timestamp: which bundle of several is the newest.
    pub timestamp: Version,
    /// When the timestamp was signed.
    pub signed_at: UtcTime,
    /// SHA-256 of the snapshot metadata: what receipts are about.
    pub snapshot: Digest,
    /// Verified metadata to keep, as received, by role (`timestamp`, `snapshot`, `targets` and delegated roles, with
    /// `boundary` where an assignment names one).
    pub metadata: BTreeMap<RoleName, Vec<u8>>,
    /// Floors after this bundle.
    pub floors: Floors,
    /// How far the wall clock could be believed.
    pub clock: ClockQuality,
}

/// One appliance the bundle addresses.
#[derive(Clone, Debug)]
pub struct Addressee {
    /// Its assignment.
    pub assignment: Assignment,
    /// The assignment as received.
    pub assignment_raw: Vec<u8>,
    /// Its owners, in the order of [`Assignment::owners`].
    pub owners: Vec<OwnerVerdict>,
    /// Its boundary.
    pub boundary: BoundaryVerdict,
}

/// What the bundle says about one owner.
#[derive(Clone, Debug)]
pub struct OwnerVerdict {
    /// Whose.
    pub owner: Owner,
    /// The version the snapshot names for the owner's role, if it names one.
    pub version: Option<Version>,
    /// The manifest, or why there is none to act on.
    pub outcome: Result<OwnerManifest, OwnerRefusal>,
}

/// A verified manifest.
#[derive(Clone, Debug)]
pub struct OwnerManifest {
    /// Its content, every rule of the format checked.
    pub manifest: Manifest,
    /// Its conditions.
    pub terms: Terms,
    /// As received.
    pub raw: Vec<u8>,
    /// SHA-256 of it.
    pub digest: Digest,
    /// What its files are made of, each object once, by id.
    pub objects: Vec<Wanted>,
}

/// A role that was in the bundle, or that an assignment names, and that does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// Which.
    pub role: RoleName,
    /// Its own code.
    pub code: Code,
    /// Why, in the client's words.
    pub why: String,
}

/// A bundle that may be acted on: it verifies, it addresses this appliance, and every object its owners want is held
/// or staged.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What it proves.
    pub trust: Trust,
    /// What it says to this appliance.
    pub addressee: Addressee,
    /// Roles that were in the bundle and did not verify, whether this appliance serves them or not.
    pub unverified: Vec<Unverified>,
}

/// A bundle as its packer or an inspector sees it: whom it addresses, and whether it is whole for all of them.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What it proves.
    pub trust: Trust,
    /// Everybody it addresses.
    pub addressees: Vec<Addressee>,
    /// Roles that were in the bundle and did not verify.
    pub unverified: Vec<Unverified>,
    /// Parts that the bundle presumes the appliances hold.
    pub presumed: Vec<Digest>,
}
