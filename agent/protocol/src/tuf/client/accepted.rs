//! What a client has accepted so far.

use super::machine::Client;
use super::{Rules, TufError};
use crate::device::id::Jurisdiction;
use crate::digest::Digest;
use crate::evidence::receipt::ClockQuality;
use crate::tuf::file_name;
use crate::tuf::floors::Floors;
use crate::tuf::role::RoleName;
use crate::tuf::root::{Profile, Root};
use crate::tuf::snapshot::Snapshot;
use crate::tuf::targets::{TargetFile, Targets};
use crate::tuf::time::UtcTime;
use crate::tuf::timestamp::Timestamp;
use crate::verify::Verified;

impl Client {
    /// The root in force.
    #[must_use]
    pub const fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The accepted timestamp.
    #[must_use]
    pub const fn timestamp(&self) -> Option<&Verified<Timestamp>> {
        self.timestamp.as_ref()
    }

    /// The accepted snapshot.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&Verified<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The accepted top-level targets.
    #[must_use]
    pub const fn targets(&self) -> Option<&Verified<Targets>> {
        self.targets.as_ref()
    }

    /// A delegated role accepted in this run, under any of its delegators.
    #[must_use]
    pub fn delegated(&self, role: &RoleName) -> Option<&Verified<Targets>> {
        self.delegated.get(role)?.values().find_map(|outcome| outcome.as_ref().ok())
    }

    /// Why a delegated role was refused in this run.
    #[must_use]
    pub fn broken(&self, role: &RoleName) -> Option<&TufError> {
        self.delegated.get(role)?.values().find_map(|outcome| outcome.as_ref().err())
    }

    /// The floors now.
    #[must_use]
    pub const fn floors(&self) -> &Floors {
        &self.floors
    }

    /// Raw roots accepted in this run, oldest first: to be persisted at once, whatever else is refused.
    #[must_use]
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// The time expiry is judged at, as far as the accepted metadata tells.
    #[must_use]
    pub fn now(&self) -> UtcTime {
        self.clock.judge(self.signed_time()).now
    }

    /// Whether the wall clock can be believed, as far as the accepted metadata tells.
    #[must_use]
    pub fn clock_quality(&self) -> ClockQuality {
        self.clock.judge(self.signed_time()).quality
    }

    /// The rules this client was made with.
    #[must_use]
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    fn profile(&self) -> Option<&Profile> {
        self.root.get().profile.as_ref().filter(|_| self.rules == Rules::Casemate)
    }

    /// The jurisdiction the root binds; absent in a foreign repository.
    #[must_use]
    pub fn jurisdiction(&self) -> Option<Jurisdiction> {
        self.profile().map(|profile| profile.jurisdiction)
    }

    /// SHA-256 of the boundary envelope the root binds; absent = nothing may leave.
    #[must_use]
    pub fn envelope(&self) -> Option<Digest> {
        self.profile().and_then(|profile| profile.envelope)
    }

    /// The root allows one person to do everything.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        self.profile().is_some_and(|profile| profile.demo)
    }

    /// A target's name in a repository, quoted for a URL: with its digest before the file name in a consistent
    /// repository.
    #[must_use]
    pub fn target_path(&self, target: &str, file: &TargetFile) -> String {
        file_name::of_target(target, file, self.root.get().consistent_snapshot)
    }
}
