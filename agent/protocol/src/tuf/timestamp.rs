//! The timestamp role.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::role::Version;
use super::snapshot::MetaFile;
use super::time::UtcTime;

/// The `signed` part of `timestamp.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// `timestamp`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// `1.x`.
    pub spec_version: String,
    /// Grows with every issue.
    pub version: Version,
    /// After this the repository may be frozen by somebody.
    pub expires: UtcTime,
    /// `snapshot.json` and nothing else.
    pub meta: BTreeMap<String, MetaFile>,
    /// What Casemate adds; absent in a foreign repository.
    #[serde(rename = "x-casemate", default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<TimestampProfile>,
}

impl crate::verify::Kind for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn type_name(&self) -> &str {
        &self.kind
    }

    fn spec_version(&self) -> &str {
        &self.spec_version
    }
}

/// What the timestamp carries beyond TUF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampProfile {
    /// When it was signed: the only clock an appliance trusts without question.
    pub signed_at: UtcTime,
}
