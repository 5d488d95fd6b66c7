//! The timestamp step (TUF 1.0 §5.4).

use super::machine::{Client, parse};
use super::{MAX_TIMESTAMP, Rules, TufError};
use crate::tuf::floors::{TimeFloor, TimestampFloor};
use crate::tuf::role::RoleName;
use crate::tuf::snapshot::MetaFile;
use crate::tuf::time::UtcTime;
use crate::tuf::timestamp::Timestamp;
use crate::verify::{self, Verified};

impl Client {
    /// The newest signed time whose signers still have a say.
    pub(super) fn signed_time(&self) -> Option<UtcTime> {
        let authority = self.authority(&RoleName::timestamp());
        let floor = self.floors.time.as_ref()?;
        authority.is_met_by(&floor.signers).then_some(floor.at)
    }

    /// The timestamp's floor while its signers still have a say.
    fn timestamp_floor(&self) -> Option<&TimestampFloor> {
        let authority = self.authority(&RoleName::timestamp());
        self.floors.timestamp.as_ref().filter(|floor| authority.is_met_by(&floor.signers))
    }

    pub(super) fn check_root_expiry(&self, now: UtcTime) -> Result<(), TufError> {
        check_expiry(RoleName::root(), self.root.get().expires, now)
    }

    pub(super) fn accept_timestamp(&mut self, raw: &[u8]) -> Result<(), TufError> {
        let mut timestamp = self.verified_timestamp(raw)?;
        if let Some(floor) = self.timestamp_floor() {
            timestamp = self.one_content(timestamp, floor)?;
        }
        let named = named_snapshot(&timestamp)?.version;
        self.check_named_snapshot(&timestamp)?;
        let signed_at = self.signed_at(&timestamp)?;
        let now = self.clock.judge(self.signed_time().max(signed_at)).now;
        self.check_root_expiry(now)?;
        check_expiry(RoleName::timestamp(), timestamp.get().expires, now)?;

        if let Some(at) = signed_at.filter(|at| self.signed_time().is_none_or(|floor| floor <= *at)) {
            self.floors.time = Some(TimeFloor { at, signers: timestamp.signers().clone() });
        }
        self.floors.timestamp = Some(TimestampFloor {
            version: timestamp.get().version,
            content: timestamp.content_digest(),
            signers: timestamp.signers().clone(),
            snapshot: named,
        });
        self.timestamp = Some(timestamp);
        Ok(())
    }

    fn verified_timestamp(&self, raw: &[u8]) -> Result<Verified<Timestamp>, TufError> {
        let role = RoleName::timestamp();
        let document = parse(&role, raw, MAX_TIMESTAMP)?;
        let authority = self.authority(&role);
        verify::verify(&document, &[authority]).map_err(|source| TufError::Unverified { role, source })
    }

    /// One version is one content. A foreign repository that signs another under the same version is told no by
    /// going on with the one accepted before (§5.4.3.1); under the profile it is refused aloud.
    fn one_content(
        &self,
        timestamp: Verified<Timestamp>,
        floor: &TimestampFloor,
    ) -> Result<Verified<Timestamp>, TufError> {
        let (role, version) = (RoleName::timestamp(), timestamp.get().version);
        if version < floor.version {
            return Err(TufError::Rollback { role, floor: floor.version, found: version });
        }
        let found = timestamp.content_digest();
        if version > floor.version || found == floor.content {
            return Ok(timestamp);
        }
        let cached = self.cached.get(&role).filter(|_| self.rules == Rules::Foreign);
        let accepted = cached.and_then(|raw| self.verified_timestamp(raw).ok());
        accepted.filter(|accepted| accepted.content_digest() == floor.content).ok_or(TufError::Forked {
            role,
            version,
            accepted: floor.content,
            found,
        })
    }

    /// A newer timestamp may not name an older snapshot than the timestamp before it did, nor than the newest
    /// snapshot accepted (§5.4.3.2).
    fn check_named_snapshot(&self, timestamp: &Verified<Timestamp>) -> Result<(), TufError> {
        let found = named_snapshot(timestamp)?.version;
        let named_before = self.timestamp_floor().map(|floor| floor.snapshot);
        let accepted = self.snapshot_floor().map(|floor| floor.version);
        match named_before.max(accepted) {
            Some(floor) if found < floor => Err(TufError::Rollback { role: RoleName::snapshot(), floor, found }),
            _ => Ok(()),
        }
    }

    /// The signing time the profile demands. Nobody signs after the root expired, so a later claim is a wrong clock
    /// or a leaked key that wants to push the floor out of reach.
    fn signed_at(&self, timestamp: &Verified<Timestamp>) -> Result<Option<UtcTime>, TufError> {
        if self.rules == Rules::Foreign {
            return Ok(None);
        }
        let profile = timestamp.get().profile.as_ref();
        let signed_at = profile
            .map(|profile| profile.signed_at)
            .ok_or(TufError::Profile { role: RoleName::timestamp(), rule: "\"x-casemate\" is absent" })?;
        let root_expires = self.root.get().expires;
        if signed_at > root_expires {
            return Err(TufError::SignedAhead { signed_at, root_expires });
        }
        Ok(Some(signed_at))
    }
}

fn named_snapshot(timestamp: &Verified<Timestamp>) -> Result<&MetaFile, TufError> {
    let role = RoleName::snapshot();
    timestamp.get().meta.get(&role.meta_name()).ok_or(TufError::Unlisted { role, by: "timestamp" })
}

pub(super) fn check_expiry(role: RoleName, expires: UtcTime, now: UtcTime) -> Result<(), TufError> {
    if now < expires { Ok(()) } else { Err(TufError::Expired { role, expires, now }) }
}
