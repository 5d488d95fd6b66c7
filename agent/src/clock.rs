//! Where the time comes from.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use casemate_protocol::tuf::time::UtcTime;

/// No appliance believes it is earlier than this: the day this version was made, moved at each release.
const BUILT: u64 = 1_793_491_200;
/// Days without a bundle after which a wall clock is no longer believed. A root lives this long too.
pub const OFFLINE_SPAN_DAYS: u64 = 400;

/// A clock handed in by whoever starts the program: the machine's own, or a value in a test.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> UtcTime + Send + Sync>);

impl WallClock {
    /// The machine's clock. Before 1970 reads as 1970.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            UtcTime::from_unix(since.as_secs())
        })
    }

    /// A clock that asks `now`.
    #[must_use]
    pub fn new(now: impl Fn() -> UtcTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time, as far as this clock can be believed: [`casemate_protocol`] judges that.
    #[must_use]
    pub fn now(&self) -> UtcTime {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallClock({})", self.now())
    }
}

/// When this program was made, at the earliest.
#[must_use]
pub fn built() -> UtcTime {
    UtcTime::from_unix(BUILT)
}
