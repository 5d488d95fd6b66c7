//! Offers: what the host's enforcer believes of what a possibly compromised agent hands to it.

use casemate_protocol::boundary::offer::{Accepted, Anchor, Contents, MAX_OFFER, OfferError, judge, write};
use casemate_protocol::boundary::{Policy, in_force};
use casemate_protocol::bundle::appraisal::{BoundaryRefusal, Verdict};
use casemate_protocol::bundle::archive::{MemberKind, Reader, Writer};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::floors::Floors;
use casemate_protocol::tuf::profile::boundary_role;
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::time::Clock;
use casemate_tests::repository::{Bundle, Site, clock, device, flow, peer, sign, signed_at, tenant_flows};

use crate::judge::verdict;

fn anchor(site: &Site, id: &str) -> Anchor {
    let device = device(id);
    Anchor::new(device.id, device.jurisdiction, device.keys, &site.root(1))
}

fn verdict_of(site: &Site, id: &str) -> Verdict {
    verdict(site, id, &site.issue().bundle().bytes()).unwrap()
}

/// The offer that the agent of appliance `id` makes of the site's bundle.
fn offer(site: &Site, id: &str) -> Vec<u8> {
    let roots = site.issue().roots.split_off(1);
    write(&Contents::of(&verdict_of(site, id), &roots).unwrap()).unwrap()
}

/// The offer that a compromised agent of `lux-002` makes: everything that belongs in it, whatever a judge would say.
fn forged(site: &Site) -> Vec<u8> {
    let issue = site.issue();
    let bundle = issue.bundle();
    let wanted = ["appliances/lux-002.json", "boundary/envelope.json", "boundary/lan.json"];
    let wanted = wanted.map(|target| MemberKind::Object { digest: Digest::of(&issue.content[target]) });
    let belongs = |kind: &MemberKind| match kind {
        MemberKind::Metadata { role, version } => match role.as_str() {
            "root" => version.get() > 1,
            role => matches!(role, "timestamp" | "snapshot" | "targets" | "boundary"),
        },
        kind => wanted.contains(kind),
    };
    Bundle { members: bundle.members.into_iter().filter(|(kind, _)| belongs(kind)).collect() }.bytes()
}

fn judged(site: &Site, raw: &[u8], floors: &Floors) -> Result<Accepted, OfferError> {
    judge(raw, &anchor(site, "lux-002"), floors, clock())
}

fn accepted(site: &Site) -> Accepted {
    judged(site, &offer(site, "lux-002"), &Floors::default()).unwrap()
}

fn refused(site: &Site) -> OfferError {
    judged(site, &forged(site), &Floors::default()).unwrap_err()
}

#[test]
fn the_enforcer_finds_the_boundary_the_agent_found() {
    let mut site = Site::fenced();
    site.root = 3;
    assert_eq!(offer(&site, "lux-002"), forged(&site), "an honest offer holds what belongs in it");
    let found = accepted(&site);
    assert_eq!((found.name.unwrap().as_str(), found.version.unwrap().get()), ("lan", 1));
    assert_eq!((found.root_version.get(), found.timestamp.get(), found.demo), (3, 1, false));
    assert_eq!(found.document, Some(Digest::of(&site.issue().content["boundary/lan.json"])));
    assert_eq!(found.policy, *site.lan());
    assert_eq!(found.policy, verdict_of(&site, "lux-002").addressee.boundary.outcome.unwrap().allow);
}

#[test]
fn what_was_accepted_and_the_anchor_are_remembered_as_they_are() {
    let site = Site::fenced();
    let found = accepted(&site);
    let again: Accepted = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(again, found);
    let anchor = anchor(&site, "lux-002");
    assert_eq!(Anchor::parse(&anchor.to_bytes()).unwrap(), anchor);
    let text = String::from_utf8(anchor.to_bytes()).unwrap();
    for (from, to) in [("\"format\":1", "\"format\":2"), ("\"root\":\"", "\"root\":\"!"), ("\"device\"", "\"devices\"")]
    {
        let error = Anchor::parse(text.replace(from, to).as_bytes()).unwrap_err();
        assert_eq!(error.code(), Code::EnrolmentInvalid, "{error}");
    }
}

#[test]
fn agent_and_enforcer_come_to_the_same_digest_whatever_tenants_and_site_take_away() {
    let mut site = Site::fenced();
    // A flow of the operator that covers the tenant's.
    site.lan().flows.push(flow("10.20.0.0/16", "1-1000", None));
    site.owner("tenant.north").boundary = Some(tenant_flows(&[flow("10.20.9.7", "443", None)]));
    let boundary = verdict_of(&site, "lux-002").addressee.boundary.outcome.unwrap();
    let own = boundary.policy_after(&Policy::default()).normal();
    let found = accepted(&site).policy;
    let agent = in_force(&boundary.allow, Some(&own), None);
    assert_eq!(agent, own);
    assert_eq!(in_force(&found, Some(&own), None).digest(), own.digest());
    let narrowing = Policy { flows: vec![flow("10.20.9.0/24", "1-65535", None)], ..Policy::default() };
    let (agent, enforcer) = (&boundary.allow, &found);
    let both = [agent, enforcer].map(|allow| in_force(allow, Some(&own), Some(&narrowing)).digest());
    assert_eq!(both[0], both[1]);
}

#[test]
fn without_a_boundary_named_nothing_is_allowed() {
    let mut site = Site::fenced();
    site.assignments.values_mut().for_each(|assignment| assignment.boundary = None);
    let found = accepted(&site);
    assert!(found.policy.is_empty() && found.name.is_none() && found.version.is_none() && found.document.is_none());
}

#[test]
fn an_older_offer_is_refused_after_a_newer_one() {
    let mut site = Site::fenced();
    let old = offer(&site, "lux-002");
    site.refence(|policy| policy.peers.clear());
    let new = accepted(&site);
    assert_eq!(judged(&site, &old, &new.floors).unwrap_err().code(), Code::MetadataRollback);
    // The same one again is fine.
    assert_eq!(judged(&site, &offer(&site, "lux-002"), &new.floors).unwrap(), new);
    // An older boundary beneath newer metadata, and the same version with another content.
    site.version += 1;
    site.boundaries().version = 1;
    assert_eq!(judged(&site, &forged(&site), &new.floors).unwrap_err().code(), Code::MetadataRollback);
    site.boundaries().version = 2;
    site.lan().flows.clear();
    assert_eq!(judged(&site, &forged(&site), &new.floors).unwrap_err().code(), Code::MetadataForked);
    // Roots that were there before must be there again.
    site.root = 2;
    site.boundaries().version = 3;
    let newest = judged(&site, &offer(&site, "lux-002"), &new.floors).unwrap();
    let mut without = Bundle { members: members(&offer(&site, "lux-002")) };
    without.members.remove(0);
    assert_eq!(judged(&site, &without.bytes(), &newest.floors).unwrap_err().code(), Code::RootBroken);
}

#[test]
fn a_version_out_of_reach_is_undone_by_taking_its_signers_vote_away() {
    let mut site = Site::fenced();
    site.version = 1 << 62;
    let ahead = accepted(&site);
    site.version = 2;
    assert_eq!(judged(&site, &offer(&site, "lux-002"), &ahead.floors).unwrap_err().code(), Code::MetadataRollback);
    (site.root, site.online) = (2, "online-2");
    assert_eq!(judged(&site, &offer(&site, "lux-002"), &ahead.floors).unwrap().timestamp.get(), 2);
}

#[test]
fn an_expired_offer_is_not_newly_accepted() {
    let mut site = Site::fenced();
    let late = Clock { wall: signed_at().plus_days(91), ..clock() };
    let raw = offer(&site, "lux-002");
    let error = judge(&raw, &anchor(&site, "lux-002"), &Floors::default(), late).unwrap_err();
    assert_eq!(error.code(), Code::MetadataExpired);
    site.boundaries().expires = signed_at();
    let error = refused(&site);
    assert!(matches!(error, OfferError::Boundary(BoundaryRefusal::Unverified { .. })), "{error}");
    assert_eq!(error.code(), Code::MetadataExpired);
}

#[test]
fn an_offer_under_another_root_or_for_somebody_else_is_refused() {
    let site = Site::fenced();
    let raw = offer(&site, "lux-002");
    let judged = |anchor: &Anchor| judge(&raw, anchor, &Floors::default(), clock()).unwrap_err();
    let device = device("lux-002");
    let other = |jurisdiction: &str, keys, root: &[u8]| {
        Anchor::new(device.id.clone(), jurisdiction.parse().unwrap(), keys, root)
    };
    // Another site: the same persons under another root do not sign for this one.
    let mut foreign = Site::sample();
    foreign.online = "another";
    assert_eq!(judged(&other("LU", device.keys, &foreign.root(1))).code(), Code::MetadataUnsigned);
    assert_eq!(judged(&other("RS", device.keys, &site.root(1))).code(), Code::JurisdictionMismatch);
    let stranger = judged(&other("LU", Digest::of(b"another device"), &site.root(1)));
    assert_eq!(stranger.code(), Code::AssignmentInvalid, "{stranger}");
    assert_eq!(judged(&anchor(&site, "lux-001")).code(), Code::NotAddressed);
    assert!(matches!(judged(&other("LU", device.keys, b"{}")), OfferError::Root(_)));
}

#[test]
fn nobody_but_two_persons_within_the_envelope_makes_a_boundary() {
    let mut site = Site::fenced();
    site.boundaries().signers = vec!["alice"];
    assert_eq!(refused(&site).code(), Code::MetadataUnsigned);
    site.boundaries().signers = vec![];
    assert_eq!(refused(&site).code(), Code::MetadataUnsigned);
    site.boundaries().signers = vec!["alice", "mallory"];
    assert_eq!(refused(&site).code(), Code::MetadataUnsigned);
    site.boundaries().keys = vec!["alice", "mallory"];
    assert_eq!(refused(&site).code(), Code::ProfileViolation);
    let mut site = Site::fenced();
    site.boundaries().threshold = 1;
    assert_eq!(refused(&site).code(), Code::ProfileViolation);
    let mut site = Site::fenced();
    site.lan().peers.push(peer("world", "192.0.2.9", 443));
    assert_eq!(refused(&site).code(), Code::BoundaryWider);
    // A wider envelope than root's is none.
    site.boundaries().envelope.networks.push("192.0.2.0/24".parse().unwrap());
    assert_eq!(refused(&site).code(), Code::BoundaryWider);
    let mut site = Site::fenced();
    site.envelope = None;
    assert_eq!(refused(&site).code(), Code::BoundaryWider);
}

fn members(offer: &[u8]) -> Vec<(MemberKind, Vec<u8>)> {
    use casemate_protocol::bundle::archive::Event;
    let (mut reader, mut input, mut members) = (Reader::new(), offer, Vec::new());
    while let Some(event) = reader.read(&mut input).unwrap() {
        match event {
            Event::Member(member) => members.push((member.kind, Vec::new())),
            Event::Data(bytes) => members.last_mut().unwrap().1.extend_from_slice(bytes),
            Event::MemberEnd | Event::End => {}
        }
    }
    members
}

#[test]
fn every_member_is_needed_where_it_stands_and_nothing_else_belongs() {
    let mut site = Site::fenced();
    site.root = 3;
    let good = Bundle { members: members(&offer(&site, "lux-002")) };
    assert_eq!(judged(&site, &good.bytes(), &Floors::default()).unwrap().policy, *site.lan());
    for at in 0..good.members.len() {
        let mut less = good.clone();
        let (kind, _) = less.members.remove(at);
        let outcome = judged(&site, &less.bytes(), &Floors::default());
        // The last root alone may be kept back: nobody but the floors knows of it.
        assert_eq!(outcome.is_ok(), at == 1, "without {kind}");
        let mut twice = good.clone();
        twice.members.insert(at, good.members[at].clone());
        assert!(judged(&site, &twice.bytes(), &Floors::default()).is_err(), "{kind} twice");
    }
    for at in 1..good.members.len() {
        let mut swapped = good.clone();
        swapped.members.swap(at - 1, at);
        assert!(judged(&site, &swapped.bytes(), &Floors::default()).is_err(), "{} too early", good.members[at].0);
    }
    // A whole bundle is no offer, nor is an offer with an owner's role or a file.
    let issue = site.issue();
    let error = judged(&site, &issue.bundle().bytes(), &Floors::default()).unwrap_err();
    assert_eq!(error.code(), Code::MemberUnexpected, "{error}");
    let bundle = issue.bundle();
    let mut more = good.clone();
    more.members.push(bundle.members.last().unwrap().clone());
    assert_eq!(judged(&site, &more.bytes(), &Floors::default()).unwrap_err().code(), Code::MemberUnexpected);
}

#[test]
fn garbage_anywhere_is_refused_or_changes_nothing() {
    let mut site = Site::single(b"file".to_vec());
    site.fence(Policy { peers: vec![peer("control", "10.20.0.5", 8443)], ..Policy::default() });
    let good = offer(&site, "lux-001");
    let anchor = anchor(&site, "lux-001");
    let policy = judge(&good, &anchor, &Floors::default(), clock()).unwrap().policy;
    assert_eq!(policy, *site.lan());
    let mut unnoticed = 0;
    let mut bent = good.clone();
    for at in 0..good.len() {
        bent[at] ^= 1 << (at % 8);
        if let Ok(found) = judge(&bent, &anchor, &Floors::default(), clock()) {
            assert_eq!(found.policy, policy, "byte {at}");
            unnoticed += 1;
        }
        bent[at] = good[at];
    }
    assert_eq!(unnoticed, 0, "every byte is signed, or has one spelling only");
    assert!(judge(&bent, &anchor, &Floors::default(), clock()).is_ok(), "unbent it is good again");
}

#[test]
fn cut_off_longer_or_too_large_is_refused() {
    let site = Site::fenced();
    let good = offer(&site, "lux-002");
    let code = |raw: &[u8]| judged(&site, raw, &Floors::default()).unwrap_err().code();
    for end in (0..good.len()).step_by(97) {
        assert_eq!(code(&good[..end]), Code::ArchiveTruncated, "{end}");
    }
    for more in [&b"x"[..], &[0; 512], &good] {
        assert_eq!(code(&[&good, more].concat()), Code::ArchiveTrailing);
    }
    let large = vec![0; usize::try_from(MAX_OFFER).unwrap() + 1];
    assert_eq!(code(&large), Code::TooLarge);
    // A header may announce what it likes: nothing is set aside for it.
    let kind = MemberKind::Metadata { role: boundary_role(), version: site.issue().version };
    let mut announced = good[..good.len() - 1024].to_vec();
    announced.extend_from_slice(&Writer::header(&kind, (8 << 30) - 1).unwrap());
    assert_eq!(code(&announced), Code::MemberUnexpected);
    for raw in [&b""[..], b"{}", &[0xff; 4096], &[0; 512]] {
        assert!(judged(&site, raw, &Floors::default()).is_err());
    }
}

#[test]
fn what_is_no_offer_is_not_written() {
    let site = Site::fenced();
    let verdict = verdict_of(&site, "lux-002");
    let root = site.root(1);
    let roots = vec![root.clone(); usize::try_from(MAX_OFFER).unwrap() / root.len() + 1];
    let error = write(&Contents::of(&verdict, &roots).unwrap()).unwrap_err();
    assert!(matches!(error, OfferError::Length(_)), "{error}");
    let error = write(&Contents { roots: &[b"{}".to_vec()], ..Contents::of(&verdict, &[]).unwrap() }).unwrap_err();
    assert!(matches!(error, OfferError::Metadata { .. }), "{error}");
    let mut site = Site::fenced();
    site.boundaries().signers = vec!["alice"];
    assert!(Contents::of(&verdict_of(&site, "lux-002"), &[]).is_none(), "a refused boundary is not offered");
}

#[test]
fn of_the_roles_that_list_assignments_an_offer_holds_those_that_lead_to_its_own() {
    let site = Site::fenced();
    let mut verdict = verdict_of(&site, "lux-002");
    let role = |content: serde_json::Value| sign(&content, &["alice"]);
    let none = || serde_json::json!({});
    let top = serde_json::json!({ "version": 1, "targets": none(), "delegations": none() });
    let ours = serde_json::json!({ "version": 2, "targets": { "appliances/lux-002.json": none() } });
    let other = serde_json::json!({ "version": 3, "targets": { "appliances/lux-001.json": none() } });
    for (name, content) in [("appliances", top), ("appliances-0", ours), ("appliances-1", other)] {
        verdict.trust.metadata.insert(RoleName::strict(name).unwrap(), role(content));
    }
    let held = members(&write(&Contents::of(&verdict, &[]).unwrap()).unwrap());
    let names: Vec<_> =
        held.iter().map(|(kind, _)| kind.to_string()).filter(|name| name.contains("appliances")).collect();
    assert_eq!(names, ["metadata/1.appliances.json", "metadata/2.appliances-0.json"]);
}
