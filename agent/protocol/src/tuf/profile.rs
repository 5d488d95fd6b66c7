//! What the Casemate profile demands beyond TUF.
//!
//! Rules here only narrow: metadata they pass is still judged by every rule of TUF.

use super::role::RoleName;
use super::root::{Profile, Root};
use super::targets::{DelegatedRole, Delegations, Targets};
use crate::device::id::{Name, Owner};
use crate::keys::{KeyDocument, KeyId, PublicKey};
use crate::verify::Persons;

/// `x-casemate` format written and read here.
pub const FORMAT: u32 = 1;
/// Longest target path, bytes.
pub const MAX_TARGET_PATH: usize = 768;
/// Levels a target may stand below the root of an owner's tree (`groups/<id>/` and eight more).
pub const MAX_TARGET_COMPONENTS: usize = 10;

/// Who alone may list a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Territory {
    /// Below `groups/`, `tenants/` or `boundary/`: this role.
    Owned(RoleName),
    /// Below one of these, under a name nobody can own.
    Nobody,
    /// Anywhere else: targets and what it delegates to.
    Common,
}

/// The role `boundary`.
#[must_use]
pub fn boundary_role() -> RoleName {
    RoleName::foreign("boundary")
}

/// Whether `role` owns a tree.
#[must_use]
pub fn is_owner(role: &RoleName) -> bool {
    *role == boundary_role() || role.as_str().starts_with("group.") || role.as_str().starts_with("tenant.")
}

/// Who alone may list `target`.
#[must_use]
pub fn territory(target: &str) -> Territory {
    let mut components = target.split('/');
    let owner = match components.next() {
        Some("groups") => Owner::Group as fn(Name) -> Owner,
        Some("tenants") => Owner::Tenant,
        Some("boundary") => return Territory::Owned(boundary_role()),
        _ => return Territory::Common,
    };
    let name = components.next().and_then(|name| name.parse().ok());
    name.map_or(Territory::Nobody, |name| Territory::Owned(owner(name).role()))
}

/// Plain components only: nothing a shell, a URL, a file system or a log line would read as something else.
#[must_use]
pub fn is_plain_path(target: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'+' | b'-');
    let is_component = |text: &str| {
        (1..=255).contains(&text.len())
            && text.bytes().all(allowed)
            && text != "."
            && text != ".."
            && !text.starts_with('-')
    };
    target.len() <= MAX_TARGET_PATH
        && target.split('/').count() <= MAX_TARGET_COMPONENTS
        && target.split('/').all(is_component)
}

/// How signatures are counted under `profile`.
#[must_use]
pub fn persons(profile: Option<&Profile>) -> Persons<'_> {
    match profile {
        Some(profile) if !profile.demo => Persons::Distinct(&profile.persons),
        _ => Persons::Ignored,
    }
}

/// The root's rule: the profile is there, in a format known here.
pub(crate) fn check_root(root: &Root) -> Result<(), &'static str> {
    let profile = root.profile.as_ref().ok_or("\"x-casemate\" is absent")?;
    if profile.format == FORMAT { Ok(()) } else { Err("\"x-casemate\" has an unknown format") }
}

/// The rules of targets and every role it delegates to.
pub(crate) fn check_targets(role: &RoleName, targets: &Targets) -> Result<(), &'static str> {
    if !targets.targets.keys().all(|path| is_plain_path(path)) {
        return Err("a target path has other than plain components");
    }
    if let Some(delegations) = &targets.delegations {
        check_names(delegations)?;
    }
    if is_owner(role) {
        if targets.delegations.as_ref().is_some_and(|delegations| !is_empty(delegations)) {
            return Err("an owner's role may not delegate");
        }
        if !targets.targets.keys().all(|path| territory(path) == Territory::Owned(role.clone())) {
            return Err("a target stands outside the owner's tree");
        }
    }
    Ok(())
}

fn is_empty(delegations: &Delegations) -> bool {
    delegations.roles.is_empty() && delegations.succinct_roles.is_none()
}

fn check_names(delegations: &Delegations) -> Result<(), &'static str> {
    let listed = delegations.roles.iter().map(|role| role.name.as_str());
    let prefixes = delegations.succinct_roles.iter().map(|bins| bins.name_prefix.as_str());
    let mut names = listed.chain(prefixes);
    let fits = |name: &str| {
        let owner = name.starts_with("group.") || name.starts_with("tenant.");
        RoleName::strict(name).is_ok() && (!owner || name.parse::<Owner>().is_ok())
    };
    if names.all(fits) { Ok(()) } else { Err("a delegated role has a name the profile does not allow") }
}

/// The boundary role's rule: no key but targets' own, and two persons unless the root says `demo`.
pub(crate) fn check_boundary(
    root: &Root,
    keys: &std::collections::BTreeMap<KeyId, KeyDocument>,
    delegation: &DelegatedRole,
) -> Result<(), &'static str> {
    let fingerprint = |document: &KeyDocument| PublicKey::parse(document).ok().map(|key| key.fingerprint());
    let of_targets: Vec<_> = root
        .roles
        .get(&RoleName::targets())
        .into_iter()
        .flat_map(|role| &role.keyids)
        .filter_map(|id| root.keys.get(id).and_then(fingerprint))
        .collect();
    let known = |id: &KeyId| keys.get(id).and_then(fingerprint).is_some_and(|found| of_targets.contains(&found));
    if !delegation.keyids.iter().all(known) {
        return Err("the boundary role has a key that targets has not");
    }
    if delegation.threshold < 2 && !root.profile.as_ref().is_some_and(|profile| profile.demo) {
        return Err("the boundary role needs two persons");
    }
    Ok(())
}
