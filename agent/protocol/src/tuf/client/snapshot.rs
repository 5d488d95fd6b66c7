//! The snapshot step (TUF 1.0 §5.5).

use std::collections::BTreeMap;

use super::machine::{Client, parse};
use super::timestamp::check_expiry;
use super::{MAX_SNAPSHOT, Rules, TufError};
use crate::tuf::floors::{RoleFloor, SnapshotFloor};
use crate::tuf::hashes::{self, Mismatch};
use crate::tuf::role::{RoleName, Version};
use crate::tuf::snapshot::{MetaFile, Snapshot};
use crate::verify::{self, Verified};

impl Client {
    /// The snapshot's floor while its signers still have a say.
    pub(super) fn snapshot_floor(&self) -> Option<&SnapshotFloor> {
        let authority = self.authority(&RoleName::snapshot());
        self.floors.snapshot.as_ref().filter(|floor| authority.is_met_by(&floor.signers))
    }

    pub(super) fn accept_snapshot(&mut self, raw: &[u8], meta: &MetaFile) -> Result<(), TufError> {
        let role = RoleName::snapshot();
        let document = parse(&role, raw, MAX_SNAPSHOT)?;
        check_bytes(&role, raw, meta)?;
        let authority = self.authority(&role);
        let snapshot: Verified<Snapshot> = verify::verify(&document, &[authority])
            .map_err(|source| TufError::Unverified { role: role.clone(), source })?;
        let version = snapshot.get().version;
        check_version(&role, meta.version, version)?;
        let mut roles = self.listed_roles(&snapshot)?;
        if !roles.contains_key(&RoleName::targets()) {
            return Err(TufError::Unlisted { role: RoleName::targets(), by: "snapshot" });
        }
        if let Some(floor) = self.snapshot_floor() {
            check_content(&role, version, Some((floor.version, floor.content)), &snapshot)?;
            keep_floors(&mut roles, &floor.roles)?;
        }
        check_expiry(role, snapshot.get().expires, self.now())?;

        self.floors.snapshot = Some(SnapshotFloor {
            version,
            content: snapshot.content_digest(),
            signers: snapshot.signers().clone(),
            roles,
        });
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// The targets roles a snapshot lists. Old repositories list `root.json` as well: no floor of ours rests on it.
    fn listed_roles(&self, snapshot: &Verified<Snapshot>) -> Result<BTreeMap<RoleName, RoleFloor>, TufError> {
        let names = snapshot.get().meta.iter().filter_map(|(name, meta)| Some((name.strip_suffix(".json")?, meta)));
        let roles = names.filter(|(name, _)| !matches!(*name, "root" | "timestamp" | "snapshot"));
        let strict = self.rules == Rules::Casemate;
        roles
            .map(|(name, meta)| {
                if strict && RoleName::strict(name).is_err() {
                    let rule = "a role has a name the profile does not allow";
                    return Err(TufError::Profile { role: RoleName::snapshot(), rule });
                }
                Ok((RoleName::foreign(name), RoleFloor { version: meta.version, content: None }))
            })
            .collect()
    }
}

/// Nothing listed before may be lowered or dropped (§5.5.5); what is still the same version is still the same content.
fn keep_floors(
    listed: &mut BTreeMap<RoleName, RoleFloor>,
    floors: &BTreeMap<RoleName, RoleFloor>,
) -> Result<(), TufError> {
    for (role, floor) in floors {
        let now = listed.get_mut(role).ok_or_else(|| TufError::Dropped { role: role.clone() })?;
        if now.version < floor.version {
            return Err(TufError::Rollback { role: role.clone(), floor: floor.version, found: now.version });
        }
        if now.version == floor.version {
            now.content = floor.content;
        }
    }
    Ok(())
}

/// The bytes are the ones the referring metadata names.
pub(super) fn check_bytes(role: &RoleName, raw: &[u8], meta: &MetaFile) -> Result<(), TufError> {
    let mismatch = |reason| TufError::HashMismatch { role: role.clone(), reason };
    if meta.length.is_some_and(|length| length != raw.len() as u64) {
        return Err(mismatch("the length differs"));
    }
    if meta.hashes.is_empty() {
        return Ok(());
    }
    hashes::check(&meta.hashes, raw).map_err(|Mismatch(reason)| mismatch(reason))
}

pub(super) fn check_version(role: &RoleName, expected: Version, found: Version) -> Result<(), TufError> {
    if expected == found { Ok(()) } else { Err(TufError::WrongVersion { role: role.clone(), expected, found }) }
}

/// One version is one content.
pub(super) fn check_content<T>(
    role: &RoleName,
    version: Version,
    accepted: Option<(Version, crate::digest::Digest)>,
    document: &Verified<T>,
) -> Result<(), TufError> {
    let found = document.content_digest();
    match accepted {
        Some((known, accepted)) if known == version && accepted != found => {
            Err(TufError::Forked { role: role.clone(), version, accepted, found })
        }
        _ => Ok(()),
    }
}
