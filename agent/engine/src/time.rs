//! Time as the engine is told it: a wall clock that may be wrong, and an uptime that is not.

use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::ClockQuality;
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

/// Which run of the machine: another one after each reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(Digest);

impl BootId {
    /// The boot the kernel calls `text`; the text itself is not kept.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Digest::of(text.as_bytes()))
    }
}

/// A point on the machine's own time scale, which no clock setting moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Which run of the machine.
    pub boot: BootId,
    /// Seconds since it started, suspended time included.
    pub uptime_seconds: u64,
}

impl Moment {
    /// Seconds from `self` to `later`; `None` if the machine was started anew in between.
    #[must_use]
    pub fn seconds_until(&self, later: &Self) -> Option<u64> {
        (self.boot == later.boot).then(|| later.uptime_seconds.saturating_sub(self.uptime_seconds))
    }
}

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// On the machine's own scale.
    pub moment: Moment,
    /// By the wall clock, as far as it is believed.
    pub wall: UtcTime,
    /// How far that is.
    pub clock: ClockQuality,
}
