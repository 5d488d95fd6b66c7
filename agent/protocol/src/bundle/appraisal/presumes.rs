//! `presumes.json`: objects the packer believes the appliance holds.

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::canonical;
use crate::digest::Digest;

/// Longest `presumes.json`, bytes: room for [`MAX_PRESUMED`] digests.
pub const MAX_PRESUMES: u64 = 5 * 1024 * 1024;
/// Parts one bundle may presume.
pub const MAX_PRESUMED: usize = 65_536;

/// The content of `presumes.json`. Nobody signs it and nothing rests on it: it only tells an honest gap from a
/// mistake, and lets the reader of a listing see what else the appliance needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presumes {
    /// 1.
    pub format: u32,
    /// SHA-256 of parts, ascending.
    pub objects: Vec<Digest>,
}

impl Presumes {
    /// The content of a `presumes.json` that lists `objects`.
    #[must_use]
    pub fn encode(objects: impl IntoIterator<Item = Digest>) -> Vec<u8> {
        let sorted: std::collections::BTreeSet<_> = objects.into_iter().collect();
        let mut text = canonical::encode(&serde_json::json!({ "format": 1, "objects": sorted }));
        text.push(b'\n');
        text
    }

    pub(super) fn parse(raw: &[u8]) -> Result<Self, Refusal> {
        let value = canonical::parse(raw).map_err(|error| Refusal::Presumes(error.to_string()))?;
        let presumes: Self = serde_json::from_value(value).map_err(|error| Refusal::Presumes(error.to_string()))?;
        if presumes.format != 1 {
            return Err(Refusal::Presumes(format!("format {} is not known, only 1", presumes.format)));
        }
        if presumes.objects.len() > MAX_PRESUMED {
            return Err(Refusal::TooMany { what: "presumed objects", limit: MAX_PRESUMED as u64 });
        }
        if !presumes.objects.is_sorted_by(|a, b| a < b) {
            return Err(Refusal::Presumes("the objects are not in ascending order".into()));
        }
        Ok(presumes)
    }
}
