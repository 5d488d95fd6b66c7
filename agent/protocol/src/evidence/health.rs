//! The health report: a closed schema without free text (R31).

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::device::id::{ApplianceId, Jurisdiction};
use crate::digest::Digest;
use crate::evidence::receipt::{ClockQuality, JournalPosition};
use crate::tuf::time::UtcTime;

/// `format` of the reports written here.
pub const FORMAT: u32 = 1;

/// How an appliance is, worst reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// Nothing to say.
    Ok,
    /// Nothing new was accepted for longer than allowed.
    Stale,
    /// Works, with a stated lack.
    Degraded,
    /// The wall clock contradicts signed time.
    ClockUntrusted,
    /// A stated emergency procedure is in force.
    BreakGlass,
    /// Damage found; changes are refused until a stated recovery.
    Quarantine,
}

/// What the appliance says about itself when asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthReport {
    /// [`FORMAT`].
    pub format: u32,
    /// Overall state: the worst of the reasons.
    pub state: HealthState,
    /// Why it is not `ok`, as codes, sorted.
    pub reasons: Vec<Code>,
    /// Who reports; absent before enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appliance: Option<ApplianceId>,
    /// Where it lives; absent before enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Jurisdiction>,
    /// One person may do everything here: the root says `demo`.
    pub demo: bool,
    /// Version of the newest accepted timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_version: Option<u64>,
    /// Digest of the newest accepted snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Digest>,
    /// Generations now current.
    pub generations: u32,
    /// Receipts nobody has taken home yet.
    pub receipts_waiting: u32,
    /// When this was written, as far as the clock can be believed.
    pub time: UtcTime,
    /// How far that is.
    pub clock: ClockQuality,
    /// Size and root of the journal's tree.
    pub journal: JournalPosition,
}
