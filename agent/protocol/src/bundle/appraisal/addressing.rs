//! Whether an assignment is for whom it says.

use super::refusal::Refusal;
use super::verdict::Device;
use crate::canonical;
use crate::device::assignment::{Assignment, MAX_OWNERS};
use crate::device::id::{ApplianceId, Jurisdiction};

/// The appliance a target path under `appliances/` assigns, if it is such a path.
pub(super) fn appliance_of(target: &str) -> Option<ApplianceId> {
    target.strip_prefix("appliances/")?.strip_suffix(".json")?.parse().ok()
}

/// The assignment at `target`. `jurisdiction` is the root's; `device`, where given, is who must be meant.
pub(super) fn parse(
    target: &str,
    raw: &[u8],
    jurisdiction: Jurisdiction,
    device: Option<&Device>,
) -> Result<Assignment, Refusal> {
    let refuse = |why: String| Refusal::Assignment { target: target.into(), why };
    let value = canonical::parse(raw).map_err(|error| refuse(error.to_string()))?;
    let assignment: Assignment = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
    if assignment.format != 1 {
        return Err(refuse(format!("format {} is not known, only 1", assignment.format)));
    }
    if Some(&assignment.appliance) != appliance_of(target).as_ref() {
        return Err(refuse(format!("it is for appliance {}", assignment.appliance)));
    }
    if assignment.groups.len() + assignment.tenants.len() > MAX_OWNERS {
        return Err(Refusal::TooMany { what: "owners of one appliance", limit: MAX_OWNERS as u64 });
    }
    if assignment.owners().len() != assignment.groups.len() + assignment.tenants.len() {
        return Err(refuse("it names an owner twice".into()));
    }
    if assignment.jurisdiction != jurisdiction {
        return Err(Refusal::Jurisdiction {
            whose: "assignment",
            expected: jurisdiction,
            found: assignment.jurisdiction,
        });
    }
    match device {
        Some(device) if device.keys != assignment.device => {
            Err(Refusal::OtherDevice { appliance: device.id.clone(), expected: device.keys, found: assignment.device })
        }
        _ => Ok(assignment),
    }
}
