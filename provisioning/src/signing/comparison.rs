//! Whether a request asks for exactly what the signer's own site folder gives on the same last signed state.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::targets::Targets;
use casemate_protocol::tuf::time::UtcTime;
use thiserror::Error;

use super::listing;
use super::proposal::Proposal;
use super::request::Request;
use crate::exit::Failure;
use crate::repository::Renewal;
use crate::repository::editor::Draft;

/// How far the requester's clock may be ahead of the signer's, days.
const SKEW: u64 = 1;

/// The first thing in which a request and a site folder differ.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "the request is not what your own site folder gives: role {role}, {at}: {asked} in the request, {given} in your folder"
)]
pub(crate) struct RequestDiffers {
    /// The role.
    role: String,
    /// The path, or which other part of the document.
    at: String,
    /// What the request says.
    asked: String,
    /// What the folder gives.
    given: String,
}

impl Explain for RequestDiffers {
    fn code(&self) -> Code {
        Code::RequestDiffers
    }
}

/// Compares `request` with `own` and returns the folder's own drafts, which are the request's but for the expiry.
///
/// The expiry follows from when the request was made. That must lie between the last signing and the present.
///
/// # Errors
/// [`RequestDiffers`]; or a role has run out of versions.
pub(crate) fn compare(request: &Request, own: &Proposal) -> Result<Vec<Draft>, Failure> {
    let asked: BTreeMap<_, _> = request.drafts.iter().map(|draft| (&draft.role, &draft.signed)).collect();
    let changed = own.drafts(Renewal::Changed)?;
    let all = own.drafts(Renewal::All)?;
    // A request that names every role is a renewal; what each of them says is compared either way.
    let renewed = asked.keys().copied().eq(all.iter().map(|draft| &draft.role).collect::<BTreeSet<_>>());
    let drafts = if renewed { all } else { changed };
    let given: BTreeMap<_, _> = drafts.iter().map(|draft| (&draft.role, &draft.signed)).collect();
    let signers = own.signers(&drafts);
    for role in asked.keys().chain(given.keys()).copied().collect::<BTreeSet<_>>() {
        let (asked, given) = match (asked.get(role), given.get(role)) {
            (Some(asked), Some(given)) => (*asked, *given),
            (asked, _) => {
                let word = |there: bool| String::from(if there { "to be signed" } else { "not to be signed" });
                let (asked, given) = (word(asked.is_some()), word(asked.is_none()));
                return Err(differs(role, "the whole role", asked, given).into());
            }
        };
        same_content(role, asked, given)?;
        let (theirs, ours) = (request.signers.get(role), signers.get(role));
        if theirs != ours {
            return Err(differs(role, "who signs", listing::signers(theirs), listing::signers(ours)).into());
        }
        same_course(role, asked, given, own)?;
    }
    Ok(drafts)
}

fn differs(role: &RoleName, at: impl Into<String>, asked: String, given: String) -> RequestDiffers {
    let role = role.as_str().escape_debug().to_string();
    RequestDiffers { role, at: at.into(), asked, given }
}

/// Targets and delegations.
fn same_content(role: &RoleName, asked: &Targets, given: &Targets) -> Result<(), RequestDiffers> {
    let paths: BTreeSet<_> = asked.targets.keys().chain(given.targets.keys()).collect();
    for path in paths {
        let (theirs, ours) = (asked.targets.get(path), given.targets.get(path));
        if theirs != ours {
            let show = |file: Option<_>| file.map_or_else(|| "absent".into(), listing::target);
            return Err(differs(role, path.escape_debug().to_string(), show(theirs), show(ours)));
        }
    }
    if asked.delegations != given.delegations {
        let lines = |of: &Targets| of.delegations.as_ref().map(listing::delegations).unwrap_or_default();
        let (theirs, ours) = (lines(asked), lines(given));
        let first = (0..theirs.len().max(ours.len())).find(|index| theirs.get(*index) != ours.get(*index));
        let line =
            |lines: &[String]| first.and_then(|index| lines.get(index)).map_or("otherwise", String::as_str).to_owned();
        return Err(differs(role, "delegations", line(&theirs), line(&ours)));
    }
    Ok(())
}

/// Version, format and expiry.
fn same_course(role: &RoleName, asked: &Targets, given: &Targets, own: &Proposal) -> Result<(), RequestDiffers> {
    if asked.version != given.version {
        return Err(differs(role, "version", asked.version.to_string(), given.version.to_string()));
    }
    if (&asked.kind, &asked.spec_version) != (&given.kind, &given.spec_version) {
        let show = |signed: &Targets| format!("{:?} {:?}", signed.kind, signed.spec_version);
        return Err(differs(role, "format", show(asked), show(given)));
    }
    let days = own.site.settings.expiry.targets;
    let signed_at = own.state.timestamp.signed.profile.as_ref().map(|profile| profile.signed_at);
    let earliest = signed_at.unwrap_or(UtcTime::from_unix(0)).plus_days(days);
    let latest = own.now.plus_days(days + SKEW);
    if !(earliest..=latest).contains(&asked.expires) {
        return Err(differs(role, "expiry", asked.expires.to_string(), format!("{earliest} to {latest}")));
    }
    Ok(())
}
