//! What a repository is asked for, without a network: the answers in their order are the bundle.

use std::collections::BTreeMap;

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Disposition, Refusal, Request};
use casemate_protocol::bundle::archive::{Member, MemberKind, Writer};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Owner;
use casemate_protocol::tuf::client::{Client, Optional, Rules, Stored};
use casemate_protocol::tuf::role::{RoleName, Version};
use casemate_tests::repository::{Issue, Site, clock, device};

use crate::judge::{Shelf, appraise};

/// Reads what `tree` holds for appliance `id`: the archive, and what was asked for.
fn fetch(tree: &BTreeMap<String, Vec<u8>>, id: &str, stored: Stored) -> Result<(Vec<u8>, Vec<String>), Refusal> {
    let client = Client::new(stored, Rules::Casemate, clock())?;
    let mut appraisal = Appraisal::new(client, Audience::Appliance(device(id)));
    let (mut archive, mut asked) = (Vec::new(), Vec::new());
    let mut add = |appraisal: &mut Appraisal, kind: MemberKind, raw: &[u8]| {
        Writer::append(&mut archive, &kind, raw).unwrap();
        match appraisal.member(Some(&Member { kind, length: raw.len() as u64 }))? {
            Disposition::Read => appraisal.content(raw),
            _ => Ok(()),
        }
    };
    loop {
        match appraisal.request()? {
            Request::Metadata { role, version, path, optional, .. } => {
                let path = format!("metadata/{path}");
                let found = tree.get(&path);
                asked.push(path);
                match found {
                    None if optional == Optional::Yes => appraisal.absent()?,
                    found => {
                        let raw = found.expect("it is there");
                        let timestamp =
                            || serde_json::from_slice::<serde_json::Value>(raw).unwrap()["signed"]["version"].as_u64();
                        let version = version.or_else(|| Version::new(timestamp()?)).unwrap();
                        add(&mut appraisal, MemberKind::Metadata { role, version }, raw)?;
                    }
                }
            }
            Request::Known { kind, raw } => add(&mut appraisal, kind, &raw)?,
            Request::Contents(pieces) => {
                assert!(!pieces.is_empty());
                for piece in pieces {
                    let path = format!("targets/{}", piece.path);
                    add(&mut appraisal, MemberKind::Object { digest: piece.digest }, &tree[&path])?;
                    asked.push(path);
                }
            }
            Request::Settle => {
                let empty: Vec<_> =
                    appraisal.wanted().filter(|wanted| wanted.length == 0).map(|wanted| wanted.object).collect();
                empty.into_iter().for_each(|object| appraisal.hold(object, 0));
                appraisal.settle();
            }
            Request::Parts(pieces) => {
                for piece in pieces {
                    let path = format!("targets/{}", piece.path);
                    if tree[&path].len() as u64 == piece.length {
                        let kind = MemberKind::Object { digest: piece.digest };
                        Writer::append(&mut archive, &kind, &tree[&path]).unwrap();
                    }
                    asked.push(path);
                }
                archive.extend_from_slice(Writer::end());
                return Ok((archive, asked));
            }
        }
    }
}

fn judged(site: &Site, archive: &[u8], id: &str) -> Result<Vec<Code>, Refusal> {
    let mut shelf = Shelf::default();
    shelf.held.push((casemate_protocol::digest::Digest::of(b""), 0));
    let audience = Audience::Appliance(device(id));
    let verdict = appraise(archive, site.stored(), clock(), audience, &mut shelf)?.finish()?;
    let code = |owner: &casemate_protocol::bundle::appraisal::OwnerVerdict| {
        owner.outcome.as_ref().err().map_or(Code::Applied, Explain::code)
    };
    Ok(verdict.addressee.owners.iter().map(code).collect())
}

fn pulled(site: &Site, issue: &Issue, id: &str) -> (Result<Vec<Code>, Refusal>, Vec<String>) {
    let (archive, asked) = fetch(&issue.tree(), id, site.stored()).unwrap();
    (judged(site, &archive, id), asked)
}

#[test]
fn what_is_fetched_is_the_bundle_and_nothing_of_others_is_asked_for() {
    let site = Site::sample();
    let issue = site.issue();
    let (outcome, asked) = pulled(&site, &issue, "lux-002");
    assert_eq!(outcome.unwrap(), [Code::Applied; 3]);
    assert_eq!(
        asked[..4],
        ["metadata/2.root.json", "metadata/timestamp.json", "metadata/1.snapshot.json", "metadata/1.targets.json"]
    );
    let distinct: std::collections::BTreeSet<_> = asked.iter().collect();
    assert_eq!(distinct.len(), asked.len(), "nothing is asked for twice");

    let (outcome, asked) = pulled(&site, &issue, "lux-001");
    assert_eq!(outcome.unwrap(), [Code::Applied]);
    assert!(
        !asked.iter().any(|path| path.contains("labs") || path.contains("north") || path.contains("lux-002")),
        "{asked:?}"
    );
}

#[test]
fn a_boundary_and_new_roots_are_fetched_too() {
    let mut site = Site::fenced();
    site.root = 3;
    let issue = site.issue();
    let bounded: Vec<_> = site.assignments.values().filter(|assignment| assignment.boundary.is_some()).collect();
    assert!(!bounded.is_empty());
    let (outcome, asked) = pulled(&site, &issue, bounded[0].appliance.as_str());
    outcome.unwrap();
    assert_eq!(asked[..3], ["metadata/2.root.json", "metadata/3.root.json", "metadata/4.root.json"]);
    assert!(asked.iter().any(|path| path.ends_with(".envelope.json")), "{asked:?}");
}

#[test]
fn a_broken_owner_is_fetched_and_leaves_the_others_alone() {
    let mut site = Site::sample();
    site.owner("tenant.north").signers = vec!["mallory".into()];
    let (outcome, _) = pulled(&site, &site.issue(), "lux-002");
    let mut codes = outcome.unwrap();
    codes.sort();
    assert_eq!(codes.iter().filter(|code| **code == Code::Applied).count(), 2);
    assert!(codes.contains(&Code::OwnerUnverified));
}

#[test]
fn of_two_lengths_signed_for_one_content_the_true_one_is_fetched() {
    let site = Site::contested();
    let (archive, _) = fetch(&site.issue().tree(), "lux-002", site.stored()).unwrap();
    let bundle = site.issue().bundle().bytes();
    assert_eq!(judged(&site, &archive, "lux-002").unwrap(), judged(&site, &bundle, "lux-002").unwrap());
}

#[test]
fn what_is_known_from_the_last_time_is_in_the_bundle_but_not_asked_for() {
    let mut site = Site::sample();
    let issue = site.issue();
    let mut stored = site.stored();
    for (role, (_, raw)) in &issue.roles {
        stored.cached.insert(role.clone(), raw.clone());
    }
    site.reissue("group.labs", "nftables/rules.nft", b"flush\n");
    let (archive, asked) = fetch(&site.issue().tree(), "lux-002", stored).unwrap();
    let labs: Owner = "group.labs".parse().unwrap();
    let roles: Vec<_> = asked.iter().filter(|path| path.contains("group.") || path.contains("tenant.")).collect();
    assert_eq!(roles, [&format!("metadata/2.{}.json", labs.role())], "{asked:?}");
    assert_eq!(judged(&site, &archive, "lux-002").unwrap(), [Code::Applied; 3]);
    // Also timestamp, snapshot and targets, as after a whole run.
    let issue = site.issue();
    let mut stored = site.stored();
    stored.cached.extend(issue.roles.iter().map(|(role, (_, raw))| (role.clone(), raw.clone())));
    stored.cached.insert(RoleName::snapshot(), issue.snapshot.clone());
    stored.cached.insert(RoleName::targets(), issue.targets.clone());
    let (archive, asked) = fetch(&issue.tree(), "lux-002", stored).unwrap();
    assert_eq!(asked.iter().filter(|path| path.starts_with("metadata/")).count(), 2, "{asked:?}");
    assert_eq!(judged(&site, &archive, "lux-002").unwrap(), [Code::Applied; 3]);
}

#[test]
fn a_repository_for_others_says_so() {
    let site = Site::sample();
    let refused = fetch(&site.issue().tree(), "lux-009", site.stored()).unwrap_err();
    assert_eq!(refused.code(), Code::NotAddressed);
}
