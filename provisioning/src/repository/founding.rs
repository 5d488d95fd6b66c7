//! Version 1 of everything: an empty, signed repository.

use std::collections::BTreeMap;

use casemate_protocol::canonical::JsonError;
use casemate_protocol::keys::{KeyDocument, KeyId};
use casemate_protocol::signed;
use casemate_protocol::tuf::role::{RoleKeys, RoleName, SPEC_VERSION, Version};
use casemate_protocol::tuf::root::{Profile, Root};
use casemate_protocol::tuf::snapshot::Snapshot;
use casemate_protocol::tuf::targets::Targets;
use casemate_protocol::tuf::time::UtcTime;
use casemate_protocol::tuf::timestamp::{Timestamp, TimestampProfile};
use serde::Serialize;

use super::editor::{Issue, described};
use crate::signer::Keyring;
use crate::site::settings::Expiry;

/// What a root is made of.
#[derive(Debug)]
pub(crate) struct Founding<'a> {
    /// The keys at hand; all that are needed.
    pub(crate) keyring: &'a Keyring,
    /// Every key of the four roles.
    pub(crate) keys: BTreeMap<KeyId, KeyDocument>,
    /// The four roles.
    pub(crate) roles: BTreeMap<RoleName, RoleKeys>,
    /// What the profile binds.
    pub(crate) profile: Profile,
    /// From site.toml.
    pub(crate) expiry: Expiry,
    /// Signing time.
    pub(crate) now: UtcTime,
}

impl Founding<'_> {
    /// Signs version 1 of the four roles.
    ///
    /// # Errors
    /// Content without a canonical form.
    pub(crate) fn issue(&self) -> Result<Issue, JsonError> {
        let (spec_version, version) = (SPEC_VERSION.to_owned(), Version::FIRST);
        let expires = |days| self.now.plus_days(days);
        let root = Root {
            kind: "root".into(),
            spec_version: spec_version.clone(),
            version,
            expires: expires(self.expiry.root),
            consistent_snapshot: true,
            keys: self.keys.clone(),
            roles: self.roles.clone(),
            profile: Some(self.profile.clone()),
        };
        let root = self.sign(RoleName::root(), &root)?;
        let targets = Targets {
            kind: "targets".into(),
            spec_version: spec_version.clone(),
            version,
            expires: expires(self.expiry.targets),
            targets: BTreeMap::new(),
            delegations: None,
        };
        let targets = self.sign(RoleName::targets(), &targets)?;
        let snapshot = Snapshot {
            kind: "snapshot".into(),
            spec_version: spec_version.clone(),
            version,
            expires: expires(self.expiry.snapshot),
            meta: BTreeMap::from([(RoleName::targets().meta_name(), described(&targets.2, version))]),
        };
        let snapshot = self.sign(RoleName::snapshot(), &snapshot)?;
        let timestamp = Timestamp {
            kind: "timestamp".into(),
            spec_version,
            version,
            expires: expires(self.expiry.timestamp),
            meta: BTreeMap::from([(RoleName::snapshot().meta_name(), described(&snapshot.2, version))]),
            profile: Some(TimestampProfile { signed_at: self.now }),
        };
        let timestamp = self.sign(RoleName::timestamp(), &timestamp)?;
        Ok(Issue { metadata: vec![root, targets, snapshot, timestamp] })
    }

    fn sign(&self, role: RoleName, content: &impl Serialize) -> Result<(RoleName, Version, Vec<u8>), JsonError> {
        let allowed = self.roles.get(&role).map_or(&[][..], |keys| &keys.keyids);
        let raw = signed::assemble(content, self.keyring.sign(content, allowed)?)?;
        Ok((role, Version::FIRST, raw))
    }
}
