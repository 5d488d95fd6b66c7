//! What a judged offer proves.

use serde::{Deserialize, Serialize};

use crate::boundary::Policy;
use crate::device::id::Name;
use crate::digest::Digest;
use crate::tuf::floors::Floors;
use crate::tuf::role::Version;
use crate::tuf::time::UtcTime;

/// A verified offer. The JSON form is for the enforcer's own root-owned memory: an offer with the same digest is not
/// judged anew, so one that was accepted stays in force when its metadata expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// SHA-256 of the offer's bytes.
    pub offer: Digest,
    /// Version of the root in force.
    pub root_version: Version,
    /// The root allows one person to do everything.
    pub demo: bool,
    /// Version of the timestamp.
    pub timestamp: Version,
    /// When the timestamp was signed.
    pub signed_at: UtcTime,
    /// Floors after this offer: what the next one is judged against.
    pub floors: Floors,
    /// The boundary's name; none where the assignment names none, so that nothing is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Version of role `boundary`; none as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// SHA-256 of the boundary document; none as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Digest>,
    /// What the boundary allows this appliance, before any narrowing ([`crate::boundary::in_force`]).
    pub policy: Policy,
}
