//! A draft with nothing left out: what a signer reads who has no site folder to compare it with.

use std::collections::BTreeMap;

use casemate_protocol::keys::KeyId;
use casemate_protocol::tuf::role::RoleKeys;
use casemate_protocol::tuf::targets::{DelegatedRole, Delegations, TargetFile};

use crate::output::count;
use crate::repository::editor::Draft;

/// `draft` in one line.
pub(crate) fn head(draft: &Draft) -> String {
    let (role, signed) = (shown(draft.role.as_str()), &draft.signed);
    format!("{role} {}: {}, until {}", signed.version, count(signed.targets.len(), "target"), signed.expires)
}

/// Every target and every delegation of `draft`.
pub(crate) fn content(draft: &Draft) -> Vec<String> {
    let targets = draft.signed.targets.iter();
    let mut lines: Vec<_> = targets.map(|(path, file)| format!("{}: {}", shown(path), target(file))).collect();
    lines.extend(draft.signed.delegations.iter().flat_map(delegations));
    lines
}

/// Length, digests and whatever else the metadata says about a target.
pub(crate) fn target(file: &TargetFile) -> String {
    let hashes = file.hashes.iter().map(|(name, digest)| match name.as_str() {
        "sha256" => format!(", SHA-256 {}", shown(digest)),
        other => format!(", {} {}", shown(other), shown(digest)),
    });
    let custom = file.custom.as_ref().map(|custom| format!(", custom {}", shown(&custom.to_string())));
    format!("{} bytes{}{}", file.length, hashes.collect::<String>(), custom.unwrap_or_default())
}

/// Who else may sign, for which paths, with which keys.
pub(crate) fn delegations(delegations: &Delegations) -> Vec<String> {
    let mut lines: Vec<_> = delegations.roles.iter().map(delegation).collect();
    if let Some(bins) = &delegations.succinct_roles {
        let (prefix, bits) = (shown(&bins.name_prefix), bins.bit_length);
        lines.push(format!("hands to 2^{bits} bins {prefix}-…: {}", keys(bins.threshold, &bins.keyids)));
    }
    for (keyid, key) in &delegations.keys {
        let public = shown(&key.keyval.public);
        lines.push(format!("key {}: {} {} {public}", shown(&keyid.0), shown(&key.keytype), shown(&key.scheme)));
    }
    lines
}

/// `2 of 3 keys must sign: …`.
pub(crate) fn signers(signers: Option<&RoleKeys>) -> String {
    signers.map_or_else(|| "nobody may sign".into(), |signers| keys(signers.threshold, &signers.keyids))
}

fn delegation(role: &DelegatedRole) -> String {
    let named = BTreeMap::from([("paths", &role.paths), ("path hash prefixes", &role.path_hash_prefixes)]);
    let mut text = format!("hands to {}", shown(role.name.as_str()));
    for (what, patterns) in named.into_iter().filter_map(|(what, patterns)| Some((what, patterns.as_ref()?))) {
        let patterns: Vec<_> = patterns.iter().map(|pattern| shown(pattern)).collect();
        text.push_str(&format!(" {what} {}", patterns.join(" ")));
    }
    let end = if role.terminating { "; nobody after it is asked" } else { "" };
    format!("{text}; {}{end}", keys(role.threshold, &role.keyids))
}

fn keys(threshold: u32, keyids: &[KeyId]) -> String {
    let names: Vec<_> = keyids.iter().map(|keyid| shown(&keyid.0)).collect();
    format!("{threshold} of {} must sign: {}", count(keyids.len(), "key"), names.join(", "))
}

/// Text of others on one line: a line end in a path could pretend that another target follows.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}
