//! The chain of roots (TUF 1.0 §5.3).

use super::machine::{Chain, Client, parse};
use super::{MAX_ROOT, MAX_ROOTS, Rules, TufError};
use crate::tuf::floors::{Floors, RootFloor};
use crate::tuf::profile;
use crate::tuf::role::{RoleKeys, RoleName, Version};
use crate::tuf::root::Root;
use crate::verify::{self, Authority, Persons, Verified};

/// The authority `root` gives one of its roles.
fn authority<'a>(root: &'a Root, role: &RoleName, rules: Rules) -> Authority<'a> {
    static NOBODY: RoleKeys = RoleKeys { keyids: Vec::new(), threshold: 0 };
    // An unnamed role has a threshold nobody can meet.
    let keys = root.roles.get(role).unwrap_or(&NOBODY);
    Authority::new(&root.keys, keys, persons(root, rules))
}

/// Reads the stored root: signed by itself, and the one the floors know if they know one of its version.
pub(super) fn stored(raw: &[u8], rules: Rules, floors: &mut Floors) -> Result<Verified<Root>, TufError> {
    let root = verified(raw, None, rules).map_err(|error| TufError::StoredRoot(Box::new(error)))?;
    let known = floors.root.as_ref().filter(|floor| floor.version == root.get().version);
    if let Some(floor) = known.filter(|floor| floor.content != root.content_digest()) {
        return Err(TufError::StoredRootDiffers { expected: floor.content, found: root.content_digest() });
    }
    raise(floors, &root);
    Ok(root)
}

/// A root signed by its own threshold and, if there is one, by its predecessor's.
fn verified(raw: &[u8], previous: Option<&Root>, rules: Rules) -> Result<Verified<Root>, TufError> {
    let role = RoleName::root();
    let document = parse(&role, raw, MAX_ROOT)?;
    let unverified = |source| TufError::Unverified { role: RoleName::root(), source };
    let claimed: Root = verify::read(&document).map_err(unverified)?;
    let mut authorities = vec![authority(&claimed, &role, rules)];
    if let Some(previous) = previous {
        authorities.push(authority(previous, &role, rules));
    }
    let root: Verified<Root> = verify::verify(&document, &authorities).map_err(unverified)?;
    if rules == Rules::Casemate {
        profile::check_root(root.get()).map_err(|rule| TufError::Profile { role, rule })?;
        let jurisdiction = |root: &Root| root.profile.as_ref().map(|profile| profile.jurisdiction);
        if previous.is_some_and(|previous| jurisdiction(previous) != jurisdiction(root.get())) {
            return Err(TufError::Jurisdiction { version: root.get().version });
        }
    }
    Ok(root)
}

fn raise(floors: &mut Floors, root: &Verified<Root>) {
    let version = root.get().version;
    if floors.root.as_ref().is_none_or(|floor| floor.version < version) {
        floors.root = Some(RootFloor { version, content: root.content_digest() });
    }
}

fn persons(root: &Root, rules: Rules) -> Persons<'_> {
    match rules {
        Rules::Casemate => profile::persons(root.profile.as_ref()),
        Rules::Foreign => Persons::Ignored,
    }
}

impl Client {
    /// The authority the root in force gives one of its roles.
    pub(super) fn authority(&self, role: &RoleName) -> Authority<'_> {
        authority(self.root.get(), role, self.rules)
    }

    /// How the root in force has signatures counted.
    pub(super) fn persons(&self) -> Persons<'_> {
        persons(self.root.get(), self.rules)
    }

    /// Accepts the next root. An intermediate root may be expired: only the last one must be fresh (§5.3.10).
    pub(super) fn grow_chain(&mut self, raw: &[u8], next: Option<Version>) -> Result<(), TufError> {
        if self.roots.len() >= MAX_ROOTS {
            return Err(TufError::RootChainTooLong(MAX_ROOTS));
        }
        let root = verified(raw, Some(self.root.get()), self.rules)?;
        let found = root.get().version;
        let expected = next.ok_or(TufError::Unwanted)?;
        if found != expected {
            return Err(TufError::WrongVersion { role: RoleName::root(), expected, found });
        }
        // A stored root older than the floors (a restored backup) may catch up, along the very same chain.
        let floor = self.floors.root.as_ref().filter(|floor| floor.version == found);
        if let Some(floor) = floor.filter(|floor| floor.content != root.content_digest()) {
            return Err(TufError::Forked {
                role: RoleName::root(),
                version: found,
                accepted: floor.content,
                found: root.content_digest(),
            });
        }
        raise(&mut self.floors, &root);
        self.roots.push(raw.to_vec());
        self.root = root;
        Ok(())
    }

    /// There is no newer root.
    pub(super) fn end_chain(&mut self) -> Result<(), TufError> {
        let found = self.root.get().version;
        if let Some(floor) = self.floors.root.as_ref().filter(|floor| floor.version > found) {
            return Err(TufError::RootRollback { floor: floor.version, found });
        }
        // The timestamp may bring a later signed time, so its acceptance asks again.
        let now = self.clock.judge(self.signed_time()).now;
        self.check_root_expiry(now)?;
        self.chain = Chain::Ended;
        Ok(())
    }
}
