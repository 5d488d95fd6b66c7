//! The client's steps.

use std::collections::BTreeMap;

use super::{Lookup, Rules, Stored, TufError, Want};
use crate::device::id::Jurisdiction;
use crate::digest::Digest;
use crate::evidence::receipt::ClockQuality;
use crate::tuf::floors::Floors;
use crate::tuf::role::RoleName;
use crate::tuf::root::Root;
use crate::tuf::snapshot::Snapshot;
use crate::tuf::targets::{TargetFile, Targets};
use crate::tuf::time::Clock;
use crate::tuf::timestamp::Timestamp;
use crate::verify::Verified;

/// A client between two steps.
#[derive(Debug)]
pub struct Client {
    rules: Rules,
    clock: Clock,
    floors: Floors,
    cached: BTreeMap<RoleName, Vec<u8>>,
}

impl Client {
    /// A client that stands on the stored root.
    ///
    /// # Errors
    /// The stored root is unreadable, not signed by itself, or not the one the floors know.
    pub fn new(stored: Stored, rules: Rules, clock: Clock) -> Result<Self, TufError> {
        let Stored { root: _, floors, cached } = stored;
        Ok(Self { rules, clock, floors, cached })
    }

    /// What is needed next.
    #[must_use]
    pub fn want(&self) -> Want {
        Want::Nothing
    }

    /// Hands in the bytes of the wanted metadata. After an error the client stands where it stood: what was accepted
    /// before stays accepted. A delegated role that does not verify is no error here: [`Self::lookup`] and
    /// [`Self::broken`] say so, and other roles are not affected.
    ///
    /// # Errors
    /// The metadata is refused.
    pub fn got(&mut self, _raw: &[u8]) -> Result<(), TufError> {
        Err(TufError::Unwanted)
    }

    /// Says that the wanted metadata does not exist. Never to be called for a transport error.
    ///
    /// # Errors
    /// It is required, or the roots end before the newest one ever accepted.
    pub fn absent(&mut self) -> Result<(), TufError> {
        Err(TufError::Unwanted)
    }

    /// Looks for a target: in its owner's role for `groups/…`, `tenants/…` and `boundary/…` under the profile, else
    /// in targets and its delegations, in their order (TUF 1.0 §5.6.7).
    pub fn lookup(&mut self, _target: &str) -> Lookup {
        Lookup::Absent
    }

    /// Asks for a delegated role, whatever target it may be for, and says whether it is there: how a bundle's reader
    /// loads an owner. `None` = serve [`Self::want`] first.
    pub fn load(&mut self, _role: &RoleName) -> Option<Result<&Verified<Targets>, &TufError>> {
        None
    }

    /// The root in force.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        unimplemented!()
    }

    /// The accepted timestamp.
    #[must_use]
    pub fn timestamp(&self) -> Option<&Verified<Timestamp>> {
        None
    }

    /// The accepted snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Verified<Snapshot>> {
        None
    }

    /// The accepted top-level targets.
    #[must_use]
    pub fn targets(&self) -> Option<&Verified<Targets>> {
        None
    }

    /// A delegated role accepted in this run, under the first delegation that led to it.
    #[must_use]
    pub fn delegated(&self, _role: &RoleName) -> Option<&Verified<Targets>> {
        None
    }

    /// Why a delegated role was refused in this run.
    #[must_use]
    pub fn broken(&self, _role: &RoleName) -> Option<&TufError> {
        None
    }

    /// The floors now.
    #[must_use]
    pub const fn floors(&self) -> &Floors {
        &self.floors
    }

    /// Raw roots accepted in this run, oldest first: to be persisted at once, whatever else is refused.
    #[must_use]
    pub fn roots(&self) -> &[Vec<u8>] {
        &[]
    }

    /// Whether the wall clock can be believed, as far as the accepted metadata tells.
    #[must_use]
    pub fn clock_quality(&self) -> ClockQuality {
        self.clock.judge(None).quality
    }

    /// The rules this client was made with.
    #[must_use]
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// The jurisdiction the root binds; absent in a foreign repository.
    #[must_use]
    pub fn jurisdiction(&self) -> Option<Jurisdiction> {
        None
    }

    /// SHA-256 of the boundary envelope the root binds; absent = nothing may leave.
    #[must_use]
    pub fn envelope(&self) -> Option<Digest> {
        None
    }

    /// The root allows one person to do everything.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        false
    }

    /// A target's name in a repository, quoted for a URL: with its digest before the file name in a consistent
    /// repository.
    #[must_use]
    pub fn target_path(&self, target: &str, _file: &TargetFile) -> String {
        let _ = &self.cached;
        target.into()
    }
}
