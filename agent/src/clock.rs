//! Where the time comes from.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use casemate_protocol::tuf::time::{Clock, UtcTime};

/// No appliance believes it is earlier than this: the day this version was made, moved at each release.
const BUILT: u64 = 1_793_491_200;
/// Days without a bundle after which a wall clock is no longer believed. A root lives this long too.
const OFFLINE_SPAN_DAYS: u64 = 400;

/// A clock handed in by whoever starts the program: the machine's own, or a value in a test.
#[derive(Clone)]
pub struct WallClock {
    now: Arc<dyn Fn() -> UtcTime + Send + Sync>,
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
        Self { now: Arc::new(now), built }
    }

    /// What this clock says now, to be judged against signed time before anything rests on it.
    #[must_use]
    pub fn read(&self) -> Clock {
        Clock { wall: (self.now)(), build: self.built, offline_span_days: OFFLINE_SPAN_DAYS }
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.read())
    }
}
