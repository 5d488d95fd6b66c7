//! Where the time comes from.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use casemate_engine::time::{BootId, Moment};
use casemate_protocol::tuf::time::{Clock, UtcTime};
use nix::time::{ClockId, clock_gettime};

/// No appliance believes it is earlier than this: the day this version was made, moved at each release.
const BUILT: u64 = 1_793_491_200;
/// Days without a bundle after which a wall clock is no longer believed. A root lives this long too.
const OFFLINE_SPAN_DAYS: u64 = 400;

/// A clock handed in by whoever starts the program: the machine's own, or a value in a test.
#[derive(Clone)]
pub struct WallClock {
    now: Arc<dyn Fn() -> UtcTime + Send + Sync>,
    moment: Arc<dyn Fn() -> Moment + Send + Sync>,
    built: UtcTime,
}

impl WallClock {
    /// The machine's clock. Before 1970 reads as 1970.
    #[must_use]
    pub fn system() -> Self {
        let now = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            UtcTime::from_unix(since.as_secs())
        };
        Self::new(now, UtcTime::from_unix(BUILT))
    }

    /// A clock that asks `now`; no true time is earlier than `built`.
    #[must_use]
    pub fn new(now: impl Fn() -> UtcTime + Send + Sync + 'static, built: UtcTime) -> Self {
        Self { now: Arc::new(now), moment: Arc::new(uptime()), built }
    }

    /// The same clock on a machine whose own time scale is `moment`.
    #[must_use]
    pub fn with_moment(self, moment: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self { moment: Arc::new(moment), ..self }
    }

    /// The machine's own time scale, which no clock setting moves: what deadlines are measured on.
    #[must_use]
    pub fn moment(&self) -> Moment {
        (self.moment)()
    }

    /// What this clock says now, to be judged against signed time before anything rests on it.
    #[must_use]
    pub fn read(&self) -> Clock {
        Clock { wall: (self.now)(), build: self.built, offline_span_days: OFFLINE_SPAN_DAYS }
    }
}

/// Uptime, suspended time included, in this run of the machine.
fn uptime() -> impl Fn() -> Moment {
    // Where the kernel names no boot every start of the process counts as one: deadlines are then met late, not never.
    let process = || format!("process {}", std::process::id());
    let boot = BootId::of(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| process()));
    move || {
        let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| time.tv_sec());
        Moment { boot, uptime_seconds: u64::try_from(uptime).unwrap_or(0) }
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.read())
    }
}
