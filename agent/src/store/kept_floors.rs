//! Floors as they are kept: in the journal and, apart from it, in the second copy.

use casemate_protocol::tuf::floors::{Floors, SnapshotFloor, TimeFloor, TimestampFloor};
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

/// Floors, and the root they were judged under.
///
/// Timestamp and snapshot floors may fall only under a newer root than the one they were set under: that makes a
/// lowering explicit, at commit and when two copies are compared. The root's own floor never falls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFloors {
    /// Version of the root in force when timestamp and snapshot floors were set.
    pub root_version: u64,
    /// The floors. Their root may be newer than `root_version`: roots are accepted ahead of everything else.
    pub floors: Floors,
}

impl KeptFloors {
    /// Whether replacing `older` by these lowers nothing, or lowers it under a newer root.
    #[must_use]
    pub fn covers(&self, older: &Self) -> bool {
        let root = self.root() >= older.root();
        let timestamp =
            self.floors.timestamp.as_ref().map(timestamp_rank) >= older.floors.timestamp.as_ref().map(timestamp_rank);
        let snapshot = match (&self.floors.snapshot, &older.floors.snapshot) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(new), Some(old)) => {
                let role_holds = |(name, floor): (_, &casemate_protocol::tuf::floors::RoleFloor)| {
                    new.roles.get(name).is_some_and(|new| new.version >= floor.version)
                };
                new.version >= old.version && old.roles.iter().all(role_holds)
            }
        };
        root && (self.root_version > older.root_version
            || self.root_version == older.root_version
                && timestamp
                && time_rank(&self.floors) >= time_rank(&older.floors)
                && snapshot)
    }

    /// The higher of two copies, floor by floor; those set under a newer root win over those set under an older one.
    #[must_use]
    pub fn highest(&self, other: &Self) -> Self {
        let (newer, older) = if other.root_version > self.root_version { (other, self) } else { (self, other) };
        let mut out = newer.clone();
        if older.root() > out.root() {
            out.floors.root.clone_from(&older.floors.root);
        }
        if newer.root_version == older.root_version {
            out.floors.timestamp = higher_timestamp(&newer.floors.timestamp, &older.floors.timestamp);
            if time_rank(&older.floors) > time_rank(&out.floors) {
                out.floors.time.clone_from(&older.floors.time);
            }
            out.floors.snapshot = higher_snapshot(&newer.floors.snapshot, &older.floors.snapshot);
        }
        out
    }

    fn root(&self) -> u64 {
        self.floors.root.as_ref().map_or(0, |root| root.version.get())
    }
}

fn timestamp_rank(floor: &TimestampFloor) -> (u64, u64) {
    (floor.version.get(), floor.snapshot.get())
}

fn time_rank(floors: &Floors) -> Option<UtcTime> {
    floors.time.as_ref().map(|floor: &TimeFloor| floor.at)
}

fn higher_timestamp(a: &Option<TimestampFloor>, b: &Option<TimestampFloor>) -> Option<TimestampFloor> {
    let higher = if b.as_ref().map(timestamp_rank) > a.as_ref().map(timestamp_rank) { b } else { a };
    higher.clone()
}

fn higher_snapshot(a: &Option<SnapshotFloor>, b: &Option<SnapshotFloor>) -> Option<SnapshotFloor> {
    let (Some(a), Some(b)) = (a, b) else {
        return a.clone().or_else(|| b.clone());
    };
    let (mut higher, lower) = if b.version > a.version { (b.clone(), a) } else { (a.clone(), b) };
    for (name, floor) in &lower.roles {
        let known = higher.roles.get(name).is_some_and(|known| known.version >= floor.version);
        if !known {
            higher.roles.insert(name.clone(), floor.clone());
        }
    }
    Some(higher)
}
