//! Which groups and tenants an appliance serves: the target `appliances/<id>.json`.

use serde::{Deserialize, Serialize};

use super::id::{ApplianceId, Jurisdiction, Name, Owner};
use super::transport::TransportSettings;
use crate::digest::Digest;

/// Longest assignment read, bytes.
pub const MAX_ASSIGNMENT: u64 = 64 * 1024;
/// Groups and tenants one appliance may serve.
pub const MAX_OWNERS: usize = 128;

/// The content of `appliances/<id>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// 1.
    pub format: u32,
    /// Whom it is for.
    pub appliance: ApplianceId,
    /// Fingerprint of the enrolled device keys ([`super::enrolment::DeviceKeys::fingerprint`]): a stranger with the
    /// same name is not addressed.
    pub device: Digest,
    /// Must equal the appliance's own and the root's.
    pub jurisdiction: Jurisdiction,
    /// Operator groups.
    pub groups: Vec<Name>,
    /// Tenants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Name>,
    /// Name of the boundary the appliance lives in; absent = deny all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Name>,
    /// What its connections are made with; absent = it makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportSettings>,
}

impl Assignment {
    /// The target path of an appliance's assignment.
    #[must_use]
    pub fn target_path(id: &ApplianceId) -> String {
        format!("appliances/{id}.json")
    }

    /// The owners, groups first, each once.
    #[must_use]
    pub fn owners(&self) -> Vec<Owner> {
        let groups = self.groups.iter().cloned().map(Owner::Group);
        let mut owners: Vec<_> = groups.chain(self.tenants.iter().cloned().map(Owner::Tenant)).collect();
        owners.sort();
        owners.dedup();
        owners
    }
}
