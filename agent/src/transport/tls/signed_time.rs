//! The newest signed time this appliance has accepted, for everybody who judges dates meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use casemate_protocol::tuf::time::UtcTime;

/// One value that many hold: it moves on with every bundle, and nobody who is connected has to be told.
#[derive(Clone, Debug, Default)]
pub struct SignedTime(Arc<AtomicU64>);

impl SignedTime {
    /// `None` before anything was accepted.
    #[must_use]
    pub fn get(&self) -> Option<UtcTime> {
        // Nothing is signed at the epoch.
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0).map(UtcTime::from_unix)
    }

    /// From now on this is the newest.
    pub fn set(&self, time: Option<UtcTime>) {
        self.0.store(time.map_or(0, UtcTime::unix), Ordering::Relaxed);
    }
}

impl From<Option<UtcTime>> for SignedTime {
    fn from(time: Option<UtcTime>) -> Self {
        let new = Self::default();
        new.set(time);
        new
    }
}
