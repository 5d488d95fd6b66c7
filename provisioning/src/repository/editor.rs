//! The next state from the present one: which roles change, with which versions and expiries.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::keys::KeyId;
use casemate_protocol::signed::{self, Unverified};
use casemate_protocol::tuf::profile::boundary_role;
use casemate_protocol::tuf::role::{RoleKeys, RoleName, SPEC_VERSION, Version};
use casemate_protocol::tuf::snapshot::{MetaFile, Snapshot};
use casemate_protocol::tuf::targets::{DelegatedRole, Delegations, TargetFile, Targets};
use casemate_protocol::tuf::time::UtcTime;
use casemate_protocol::tuf::timestamp::{Timestamp, TimestampProfile};
use casemate_protocol::verify::{Authority, Kind, Persons, verify};
use serde::{Deserialize, Serialize};

use super::error::RepositoryError;
use super::state::State;
use crate::signer::Keyring;
use crate::site::settings::Settings;

/// How deep an owner's delegation reaches below its tree: TUF's `*` does not cross `/`.
pub(crate) const DEPTH: usize = 8;

/// Everything the site wants published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    /// Targets of `targets.json`: the assignments.
    pub(crate) targets: BTreeMap<String, TargetFile>,
    /// Targets of each group's role.
    pub(crate) groups: BTreeMap<Name, BTreeMap<String, TargetFile>>,
    /// Targets of the role `boundary`: the envelope and every boundary; none = no such role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) boundary: BTreeMap<String, TargetFile>,
}

impl Content {
    /// Targets of every role below `targets`, by role.
    fn delegated(&self) -> impl Iterator<Item = (RoleName, &BTreeMap<String, TargetFile>)> {
        let boundary = (!self.boundary.is_empty()).then(|| (boundary_role(), &self.boundary));
        let groups = self.groups.iter().map(|(group, targets)| (Owner::Group(group.clone()).role(), targets));
        boundary.into_iter().chain(groups)
    }

    /// Every target.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &TargetFile)> {
        self.groups.values().chain([&self.boundary, &self.targets]).flatten()
    }
}

/// Whether roles whose content stands are issued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Renewal {
    /// Only what changed.
    Changed,
    /// All of them: expiry draws near.
    All,
}

/// A targets role to be signed by persons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// The role.
    pub(crate) role: RoleName,
    /// What is to be signed.
    pub(crate) signed: Targets,
}

/// Metadata ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct Issue {
    /// Role, version, bytes; the timestamp last.
    pub(crate) metadata: Vec<(RoleName, Version, Vec<u8>)>,
}

/// Makes the next state.
#[derive(Debug)]
pub(crate) struct Editor<'a> {
    /// The present state.
    pub(crate) state: &'a State,
    /// Expiries, and who the persons are.
    pub(crate) settings: &'a Settings,
    /// Signing time.
    pub(crate) now: UtcTime,
}

impl Editor<'_> {
    /// The targets roles that must be issued for `content` to be published.
    ///
    /// # Errors
    /// A role has run out of versions.
    pub(crate) fn drafts(&self, content: &Content, renewal: Renewal) -> Result<Vec<Draft>, RepositoryError> {
        let mut drafts = Vec::new();
        let current = &self.state.targets.signed;
        let delegations = self.delegations(content);
        if renewal == Renewal::All || current.targets != content.targets || current.delegations != delegations {
            drafts.push(self.draft(RoleName::targets(), content.targets.clone(), delegations)?);
        }
        for (role, targets) in content.delegated() {
            let stands = self.state.delegated.get(&role).is_some_and(|document| document.signed.targets == *targets);
            if renewal == Renewal::All || !stands {
                drafts.push(self.draft(role, targets.clone(), None)?);
            }
        }
        Ok(drafts)
    }

    fn draft(
        &self,
        role: RoleName,
        targets: BTreeMap<String, TargetFile>,
        delegations: Option<Delegations>,
    ) -> Result<Draft, RepositoryError> {
        let version = self.next(&role)?;
        let expires = self.now.plus_days(self.settings.expiry.targets);
        let (kind, spec_version) = ("targets".into(), SPEC_VERSION.into());
        Ok(Draft { role, signed: Targets { kind, spec_version, version, expires, targets, delegations } })
    }

    /// The version after the highest on disk: an unpublished one of an interrupted run is not used again.
    fn next(&self, role: &RoleName) -> Result<Version, RepositoryError> {
        let next = self.state.highest.get(role).map_or(Some(Version::FIRST), |highest| highest.next());
        next.ok_or_else(|| RepositoryError::LastVersion(role.clone()))
    }

    /// One terminating delegation a group and one for the boundaries, to the signers of targets: each then moves alone.
    fn delegations(&self, content: &Content) -> Option<Delegations> {
        let root = &self.state.root.signed;
        let signers = root.roles.get(&RoleName::targets())?;
        let keys = signers.keyids.iter().filter_map(|id| Some((id.clone(), root.keys.get(id)?.clone()))).collect();
        let demo = root.profile.as_ref().is_some_and(|profile| profile.demo);
        let boundary = (!content.boundary.is_empty()).then(|| boundary_delegation(signers, demo));
        let groups = content.groups.keys().map(|group| delegation(group, signers));
        let roles: Vec<_> = boundary.into_iter().chain(groups).collect();
        (!roles.is_empty()).then_some(Delegations { keys, roles, succinct_roles: None })
    }

    /// Who may sign `role`, given the targets that will be published.
    pub(crate) fn signers(&self, role: &RoleName, drafts: &[Draft]) -> Option<RoleKeys> {
        if let Some(keys) = self.state.root.signed.roles.get(role) {
            return Some(keys.clone());
        }
        let delegated = self.delegating(drafts).delegations.as_ref()?.roles.iter().find(|other| other.name == *role)?;
        Some(RoleKeys { keyids: delegated.keyids.clone(), threshold: delegated.threshold })
    }

    /// Who may sign each of `drafts`.
    pub(crate) fn all_signers(&self, drafts: &[Draft]) -> BTreeMap<RoleName, RoleKeys> {
        let signers = drafts.iter().filter_map(|draft| Some((draft.role.clone(), self.signers(&draft.role, drafts)?)));
        signers.collect()
    }

    fn delegating<'b>(&'b self, drafts: &'b [Draft]) -> &'b Targets {
        let draft = drafts.iter().find(|draft| draft.role == RoleName::targets());
        draft.map_or(&self.state.targets.signed, |draft| &draft.signed)
    }

    /// Checks that `raw` is `role`'s metadata, signed by enough keys and persons.
    ///
    /// # Errors
    /// Too few, naming who could still sign.
    fn verified<T: Kind>(&self, role: &RoleName, raw: &[u8], drafts: &[Draft]) -> Result<(), RepositoryError> {
        let keys = match &self.delegating(drafts).delegations {
            Some(delegations) if !self.state.root.signed.roles.contains_key(role) => &delegations.keys,
            _ => &self.state.root.signed.keys,
        };
        let signers = self.signers(role, drafts).unwrap_or(RoleKeys { keyids: Vec::new(), threshold: 1 });
        let authority = Authority::new(keys, &signers, self.state.persons()?);
        let path = self.state.place.metadata().join(role.meta_name());
        let document = Unverified::parse(raw).map_err(|source| RepositoryError::Malformed { path, source })?;
        verify::<T>(&document, &[authority]).map(drop).map_err(|source| {
            let signed: BTreeSet<_> = document.signatures().iter().map(|signature| &signature.keyid).collect();
            let hint = self.hint(&signers, &signed);
            RepositoryError::Unsigned { role: role.clone(), hint, source }
        })
    }

    /// Who has signed and who could, by the names site.toml gives them.
    fn hint(&self, signers: &RoleKeys, signed: &BTreeSet<&KeyId>) -> String {
        let register = self.state.root.signed.profile.as_ref().map(|profile| &profile.persons);
        let name = |keyid: &KeyId| match register.and_then(|register| register.get(keyid)) {
            Some(token) => format!("{} ({})", self.settings.person(token), short(&keyid.0)),
            None => short(&keyid.0),
        };
        let list = |chosen: bool| {
            let keyids = signers.keyids.iter().filter(|keyid| signed.contains(keyid) == chosen);
            let names: Vec<_> = keyids.map(name).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        };
        let persons = matches!(self.state.persons(), Ok(Persons::Distinct(_))) && signers.threshold > 1;
        let needed = signers.threshold;
        let needed = match (persons, needed) {
            (true, _) => format!("{needed} keys of {needed} persons are"),
            (false, 1) => "1 key is".into(),
            (false, _) => format!("{needed} keys are"),
        };
        format!("signed by {}, not by {}; {needed} needed", list(true), list(false))
    }

    /// The whole next state from signed `drafts`: checks their thresholds, then signs snapshot and timestamp with the
    /// keys at hand.
    ///
    /// # Errors
    /// A threshold is not met.
    pub(crate) fn issue(
        &self,
        drafts: &[Draft],
        signed_drafts: &BTreeMap<RoleName, Vec<u8>>,
        keyring: &Keyring,
    ) -> Result<Issue, RepositoryError> {
        let mut metadata = Vec::new();
        let mut meta = self.state.snapshot.signed.meta.clone();
        for draft in drafts {
            let raw = signed_drafts.get(&draft.role).cloned().unwrap_or_default();
            self.verified::<Targets>(&draft.role, &raw, drafts)?;
            meta.insert(draft.role.meta_name(), described(&raw, draft.signed.version));
            metadata.push((draft.role.clone(), draft.signed.version, raw));
        }
        let role = RoleName::snapshot();
        let snapshot = Snapshot {
            kind: "snapshot".into(),
            spec_version: SPEC_VERSION.into(),
            version: self.next(&role)?,
            expires: self.now.plus_days(self.settings.expiry.snapshot),
            meta,
        };
        let raw = self.sign::<Snapshot>(&role, &snapshot, keyring)?;
        let named = BTreeMap::from([(role.meta_name(), described(&raw, snapshot.version))]);
        metadata.push((role, snapshot.version, raw));
        let role = RoleName::timestamp();
        let timestamp = Timestamp {
            kind: "timestamp".into(),
            spec_version: SPEC_VERSION.into(),
            version: self.next(&role)?,
            expires: self.now.plus_days(self.settings.expiry.timestamp),
            meta: named,
            profile: Some(TimestampProfile { signed_at: self.now }),
        };
        let raw = self.sign::<Timestamp>(&role, &timestamp, keyring)?;
        metadata.push((role, timestamp.version, raw));
        Ok(Issue { metadata })
    }

    fn sign<T: Kind + Serialize>(
        &self,
        role: &RoleName,
        content: &T,
        keyring: &Keyring,
    ) -> Result<Vec<u8>, RepositoryError> {
        let allowed = self.signers(role, &[]).map(|keys| keys.keyids).unwrap_or_default();
        let raw = signed::assemble(content, keyring.sign(content, &allowed)?)?;
        self.verified::<T>(role, &raw, &[])?;
        Ok(raw)
    }
}

/// The first characters of a key id, enough to tell a site's keys apart.
pub(crate) fn short(keyid: &str) -> String {
    keyid.chars().take(12).collect()
}

/// What the snapshot or the timestamp says about a file.
pub(crate) fn described(raw: &[u8], version: Version) -> MetaFile {
    let hashes = BTreeMap::from([("sha256".to_owned(), Digest::of(raw).to_string())]);
    MetaFile { version, length: Some(raw.len() as u64), hashes }
}

/// Two persons, however few `targets` asks for, unless one may do everything.
fn boundary_delegation(signers: &RoleKeys, demo: bool) -> DelegatedRole {
    DelegatedRole {
        name: boundary_role(),
        keyids: signers.keyids.clone(),
        threshold: if demo { signers.threshold } else { signers.threshold.max(2) },
        terminating: true,
        paths: Some(vec!["boundary/*".into()]),
        path_hash_prefixes: None,
    }
}

fn delegation(group: &Name, signers: &RoleKeys) -> DelegatedRole {
    let owner = Owner::Group(group.clone());
    let paths = (1..=DEPTH).map(|depth| format!("{}{}", owner.tree(), "/*".repeat(depth))).collect();
    DelegatedRole {
        name: owner.role(),
        keyids: signers.keyids.clone(),
        threshold: signers.threshold,
        terminating: true,
        paths: Some(paths),
        path_hash_prefixes: None,
    }
}
