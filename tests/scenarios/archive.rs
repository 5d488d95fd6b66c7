//! Archives that are not as packed. What a header may hold is tested beside the reader; here it is what may stand
//! where, judged as the appliance judges it.

use casemate_protocol::bundle::appraisal::{MAX_PRESUMES, OwnerRefusal, OwnerVerdict, Presumes, Refusal};
use casemate_protocol::bundle::archive::{MemberKind, Writer};
use casemate_protocol::bundle::manifest::MAX_MANIFEST;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::assignment::MAX_ASSIGNMENT;
use casemate_protocol::device::id::Owner;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::RoleName;
use casemate_tests::repository::{Bundle, Site, Subtree};

use crate::judge::{Shelf, appraise, inspect, verdict};

fn sample() -> (Site, Bundle) {
    let mut site = Site::sample();
    site.root = 3;
    let bundle = site.issue().bundle();
    (site, bundle)
}

fn owner_codes(owners: &[OwnerVerdict]) -> Vec<Option<Code>> {
    owners.iter().map(|owner| owner.outcome.as_ref().err().map(Explain::code)).collect()
}

fn code(site: &Site, bundle: &Bundle) -> Code {
    verdict(site, "lux-002", &bundle.bytes()).expect_err("a fault").code()
}

#[test]
fn a_bundle_as_packed_is_accepted_by_everybody_it_addresses() {
    let (site, bundle) = sample();
    let verdict = verdict(&site, "lux-002", &bundle.bytes()).unwrap();
    assert_eq!(verdict.trust.roots.len(), 2);
    assert_eq!(verdict.addressee.owners.len(), 3);
    assert!(verdict.addressee.owners.iter().all(|owner| owner.outcome.is_ok()));
    assert_eq!(verdict.trust.metadata.len(), 6);
    let inspection = inspect(&site, &bundle.bytes()).unwrap();
    assert_eq!(inspection.addressees.len(), 2);
}

#[test]
fn what_the_appliance_does_not_want_goes_by_unread() {
    let (site, bundle) = sample();
    let mut shelf = Shelf::default();
    let audience =
        casemate_protocol::bundle::appraisal::Audience::Appliance(casemate_tests::repository::device("lux-001"));
    let clock = casemate_tests::repository::clock();
    appraise(&bundle.bytes(), site.stored(), clock, audience, &mut shelf).unwrap().finish().unwrap();
    let wanted: Vec<_> = shelf.staged.values().cloned().collect();
    assert_eq!(wanted.len(), 2, "only the files of group clinics");
    // The other assignment, two manifests, two files, and root 1.
    assert_eq!(shelf.skipped, 6);
}

#[test]
fn any_two_members_swapped_are_out_of_order() {
    let (site, bundle) = sample();
    for first in 0..bundle.members.len() {
        for second in first + 1..bundle.members.len() {
            let mut bundle = bundle.clone();
            bundle.members.swap(first, second);
            let names = (bundle.members[first].0.to_string(), bundle.members[second].0.to_string());
            assert!(verdict(&site, "lux-002", &bundle.bytes()).is_err(), "{names:?} swapped");
        }
    }
}

#[test]
fn a_member_twice_is_refused_wherever_the_copy_stands() {
    let (site, bundle) = sample();
    for from in 0..bundle.members.len() {
        for to in from + 1..=bundle.members.len() {
            let mut bundle = bundle.clone();
            let copy = bundle.members[from].clone();
            bundle.members.insert(to, copy);
            assert_eq!(code(&site, &bundle), Code::MemberUnexpected, "{from} again at {to}");
        }
    }
}

#[test]
fn a_member_left_out_is_missing_unless_the_appliance_holds_it() {
    let (site, bundle) = sample();
    for index in 1..bundle.members.len() {
        let mut cut = bundle.clone();
        let (kind, content) = cut.members.remove(index);
        let result = verdict(&site, "lux-002", &cut.bytes());
        let other = kind == MemberKind::Object { digest: Digest::of(&site.issue().content["appliances/lux-001.json"]) };
        // Without its newest root a bundle still stands on the one before.
        if other || index == 2 {
            assert!(result.is_ok(), "{kind}");
        } else {
            assert!(result.is_err(), "{kind}");
        }
        if index > bundle.metadata("tenant.north") + 3 {
            assert_eq!(result.unwrap_err().code(), Code::Missing, "{kind}");
            let mut shelf = Shelf { held: vec![(Digest::of(&content), content.len() as u64)], ..Shelf::default() };
            let audience = casemate_protocol::bundle::appraisal::Audience::Appliance(
                casemate_tests::repository::device("lux-002"),
            );
            let clock = casemate_tests::repository::clock();
            let appraisal = appraise(&cut.bytes(), site.stored(), clock, audience, &mut shelf).unwrap();
            assert!(appraisal.finish().is_ok(), "{kind} is held");
        }
    }
}

#[test]
fn a_gap_in_the_roots_is_told_as_such() {
    let (site, mut bundle) = sample();
    bundle.members.remove(1);
    let error = verdict(&site, "lux-002", &bundle.bytes()).unwrap_err();
    assert!(matches!(error, Refusal::RootGap { .. }), "{error}");
    assert_eq!(error.code(), Code::RootBroken);
}

#[test]
fn an_object_that_nothing_signed_lists_is_refused_everywhere() {
    let (site, bundle) = sample();
    for at in 0..=bundle.members.len() {
        let mut bundle = bundle.clone();
        bundle.members.insert(at, (MemberKind::Object { digest: Digest::of(b"stray") }, b"stray".to_vec()));
        let error = verdict(&site, "lux-002", &bundle.bytes()).unwrap_err();
        // Between assignments it ends their section, and the appliance's own may stand behind it.
        assert!(matches!(error.code(), Code::MemberUnexpected | Code::NotAddressed), "at {at}: {error}");
        let error = verdict(&site, "lux-001", &bundle.bytes()).unwrap_err();
        assert!(matches!(error.code(), Code::MemberUnexpected | Code::NotAddressed), "at {at}: {error}");
    }
}

#[test]
fn metadata_that_the_snapshot_does_not_list_is_refused() {
    let (site, mut bundle) = sample();
    let at = bundle.metadata("group.clinics") + 1;
    let kind: MemberKind = "metadata/1.group.closed.json".parse().unwrap();
    let content = bundle.members[at].1.clone();
    bundle.members.insert(at, (kind, content));
    assert_eq!(code(&site, &bundle), Code::MemberUnexpected);
}

#[test]
fn a_metadata_name_must_say_the_version_inside() {
    for role in ["timestamp", "snapshot", "targets", "group.labs"] {
        let (site, mut bundle) = sample();
        let at = bundle.metadata(role);
        bundle.members[at].0 = format!("metadata/7.{role}.json").parse().unwrap();
        assert_eq!(code(&site, &bundle), Code::MetadataMixed, "{role}");
    }
}

#[test]
fn the_name_of_metadata_already_held_must_say_its_version_too() {
    let (site, bundle) = sample();
    let issue = site.issue();
    let mut stored = site.stored();
    let held = [(RoleName::snapshot(), &issue.snapshot), (RoleName::targets(), &issue.targets)];
    stored.cached.extend(held.into_iter().map(|(role, raw)| (role, raw.clone())));
    let appraised = |bundle: &Bundle| {
        let audience =
            casemate_protocol::bundle::appraisal::Audience::Appliance(casemate_tests::repository::device("lux-002"));
        let clock = casemate_tests::repository::clock();
        appraise(&bundle.bytes(), stored.clone(), clock, audience, &mut Shelf::default())?.finish()
    };
    assert!(appraised(&bundle).is_ok());
    for role in ["snapshot", "targets"] {
        let mut bundle = bundle.clone();
        let at = bundle.metadata(role);
        bundle.members[at].0 = format!("metadata/7.{role}.json").parse().unwrap();
        assert_eq!(appraised(&bundle).unwrap_err().code(), Code::MetadataMixed, "{role}");
    }
}

/// The code for `bundle` up to member `at`, in whose place a header says that `length` bytes of `kind` follow.
fn endless(site: &Site, bundle: &Bundle, at: usize, kind: &MemberKind, length: u64) -> Code {
    let mut archive = Bundle { members: bundle.members[..at].to_vec() }.bytes();
    archive.truncate(archive.len() - Writer::end().len());
    archive.extend_from_slice(&Writer::header(kind, length).unwrap());
    verdict(site, "lux-002", &archive).unwrap_err().code()
}

#[test]
fn what_is_read_whole_has_a_limit_even_where_its_length_is_signed() {
    let (mut site, _) = sample();
    site.owner("group.labs").edit_targets = |targets| {
        targets.targets.get_mut("groups/labs/manifest.json").unwrap().length = MAX_MANIFEST + 1;
    };
    let issue = site.issue();
    let bundle = issue.bundle();
    let at = bundle.position(&issue.content["groups/labs/manifest.json"]);
    // It goes by unread, and its owner fails alone.
    assert_eq!(
        endless(&site, &bundle, at, &bundle.members[at].0, MAX_MANIFEST + 1),
        Code::ArchiveTruncated,
        "manifest"
    );

    let (mut site, bundle) = sample();
    let at = bundle.position(b"server_name: clinics.example\n");
    assert_eq!(endless(&site, &bundle, at, &MemberKind::Presumes, MAX_PRESUMES + 1), Code::TooLarge, "presumes");

    let groups: Vec<_> = (0..6000).map(|number| format!("group-{number:06}")).collect();
    site.assign("lux-002", &groups.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    let issue = site.issue();
    let bundle = issue.bundle();
    let assignment = &issue.content["appliances/lux-002.json"];
    assert!(assignment.len() as u64 > MAX_ASSIGNMENT);
    let at = bundle.position(assignment);
    assert_eq!(
        endless(&site, &bundle, at, &bundle.members[at].0, assignment.len() as u64),
        Code::TooLarge,
        "assignment"
    );
}

#[test]
fn trailing_bytes_and_a_second_bundle_are_refused() {
    let (site, bundle) = sample();
    for more in [vec![0], vec![0; 512], b"x".to_vec(), bundle.bytes()] {
        let error = verdict(&site, "lux-002", &[bundle.bytes(), more].concat()).unwrap_err();
        assert_eq!(error.code(), Code::ArchiveTrailing);
    }
}

#[test]
fn a_bundle_cut_at_any_block_is_truncated() {
    let (site, bundle) = sample();
    let bytes = bundle.bytes();
    for length in (0..bytes.len()).step_by(512) {
        let error = verdict(&site, "lux-002", &bytes[..length]).unwrap_err();
        assert_eq!(error.code(), Code::ArchiveTruncated, "at {length}: {error}");
    }
}

#[test]
fn a_content_that_is_not_what_its_name_says_is_refused() {
    let (site, bundle) = sample();
    let objects = bundle.members.iter().enumerate().filter(|(_, (kind, _))| matches!(kind, MemberKind::Object { .. }));
    for (at, _) in objects {
        let mut bundle = bundle.clone();
        let last = bundle.members[at].1.len() - 1;
        bundle.members[at].1[last] ^= 1;
        match verdict(&site, "lux-002", &bundle.bytes()) {
            Err(error) => assert_eq!(error.code(), Code::ObjectMismatch, "member {at}: {error}"),
            Ok(_) => assert!(bundle.members[at].1.starts_with(b"{\"appliance\":\"lux-001\""), "member {at}"),
        }
    }
}

#[test]
fn a_member_longer_or_shorter_than_signed_is_refused_before_it_is_read() {
    let (site, bundle) = sample();
    let objects = bundle.members.iter().enumerate().filter(|(_, (kind, _))| matches!(kind, MemberKind::Object { .. }));
    for (at, (kind, content)) in objects {
        for length in [content.len() as u64 + 1, 1 << 32] {
            let mut archive = Bundle { members: bundle.members[..at].to_vec() }.bytes();
            archive.truncate(archive.len() - Writer::end().len());
            // Only the header: nobody may ask for more.
            archive.extend_from_slice(&Writer::header(kind, length).unwrap());
            let error = verdict(&site, "lux-002", &archive).unwrap_err();
            assert_eq!(error.code(), Code::TooLarge, "{kind}: {error}");
        }
    }
    for role in ["root", "timestamp", "snapshot", "targets", "group.labs"] {
        let at = bundle.metadata(role) + usize::from(role == "root");
        let mut archive = Bundle { members: bundle.members[..at].to_vec() }.bytes();
        archive.truncate(archive.len() - Writer::end().len());
        archive.extend_from_slice(&Writer::header(&bundle.members[at].0, 1 << 32).unwrap());
        let error = verdict(&site, "lux-002", &archive).unwrap_err();
        assert_eq!(error.code(), Code::TooLarge, "{role}: {error}");
    }
}

#[test]
fn presumed_objects_excuse_the_packer_and_nobody_else() {
    let (site, mut bundle) = sample();
    // The first of all files, so that presumes.json takes its place in order.
    bundle.presume(b"server_name: clinics.example\n");
    assert_eq!(inspect(&site, &bundle.bytes()).unwrap().presumed.len(), 1);
    assert_eq!(code(&site, &bundle), Code::Missing);
    let at = bundle.members.iter().position(|(kind, _)| *kind == MemberKind::Presumes).unwrap();
    for text in [&b"{}"[..], b"{\"format\":2,\"objects\":[]}", b"{\"format\":1,\"format\":1,\"objects\":[]}"] {
        bundle.members[at].1 = text.to_vec();
        assert_eq!(code(&site, &bundle), Code::ArchiveMalformed);
    }
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let (low, high) = (a.min(b), a.max(b));
    bundle.members[at].1 = format!("{{\"format\":1,\"objects\":[\"{high}\",\"{low}\"]}}").into_bytes();
    assert_eq!(code(&site, &bundle), Code::ArchiveMalformed);
    bundle.members[at].1 = Presumes::encode([high, low, low]);
    assert_eq!(code(&site, &bundle), Code::Missing);
}

#[test]
fn an_owner_that_does_not_verify_stops_nobody_else() {
    let (mut site, _) = sample();
    site.owner("tenant.north").signers = vec!["stranger".into()];
    let bundle = site.issue().bundle();
    let verdict = verdict(&site, "lux-002", &bundle.bytes()).unwrap();
    let by_code: Vec<_> = verdict
        .addressee
        .owners
        .iter()
        .map(|owner| (owner.owner.to_string(), owner.outcome.as_ref().err().map(Explain::code)))
        .collect();
    assert_eq!(by_code[2], ("tenant.north".into(), Some(Code::OwnerUnverified)));
    assert!(by_code[0].1.is_none() && by_code[1].1.is_none());
    assert_eq!(verdict.unverified[0].code, Code::MetadataUnsigned);
}

#[test]
fn an_object_shared_with_an_owner_that_does_not_verify_may_stand_early() {
    let (mut site, _) = sample();
    let shared: &[u8] = b"the same everywhere";
    site.owner("group.clinics").files.insert("a/shared".into(), shared.to_vec());
    site.owner("tenant.north").files.insert("shared".into(), shared.to_vec());
    site.owner("group.clinics").signers = vec!["stranger".into()];
    let verdict = verdict(&site, "lux-002", &site.issue().bundle().bytes()).unwrap();
    assert_eq!(verdict.addressee.owners.iter().filter(|owner| owner.outcome.is_ok()).count(), 2);
}

#[test]
fn a_manifest_that_waits_for_what_cannot_come_is_refused() {
    let (mut site, _) = sample();
    site.owner("group.labs").apply.confirm = vec!["headquarters".into()];
    let verdict = verdict(&site, "lux-002", &site.issue().bundle().bytes()).unwrap();
    let codes = verdict.addressee.owners.iter().filter_map(|owner| Some(owner.outcome.as_ref().err()?.code()));
    assert_eq!(codes.collect::<Vec<_>>(), [Code::ManifestInvalid]);
}

#[test]
fn a_manifest_may_say_only_what_its_owner_signed() {
    type Edit = fn(&mut casemate_protocol::bundle::manifest::Manifest);
    let faults: [(&str, Edit); 12] = [
        ("format", |manifest| manifest.format = 2),
        ("owner", |manifest| manifest.owner = "group.clinics".parse::<Owner>().unwrap()),
        ("descending", |manifest| manifest.files.reverse()),
        ("twice", |manifest| manifest.files[1].path = manifest.files[0].path.clone()),
        ("folder", |manifest| manifest.files[0].path = "b".parse().unwrap()),
        ("gap", |manifest| manifest.files[0].parts[0].offset = 1),
        ("length", |manifest| manifest.files[0].length += 1),
        ("part length", |manifest| manifest.files[0].parts[0].length += 1),
        ("digest", |manifest| manifest.files[0].parts[0].sha256 = Digest::of(b"other")),
        ("unlisted", |manifest| manifest.files[0].parts[0].target = "groups/labs/files/other".into()),
        ("foreign", |manifest| {
            manifest.files[0].parts[0].target = "groups/clinics/files/synapse/homeserver.yaml".into();
        }),
        ("empty part", |manifest| {
            let part = manifest.files[0].parts[0].clone();
            manifest.files[0].parts.push(casemate_protocol::bundle::part::Part {
                offset: part.length,
                length: 0,
                ..part
            });
        }),
    ];
    for (name, edit) in faults {
        let (mut site, _) = sample();
        *site.owner("group.labs") = Subtree::of(&[("a", b"first"), ("b/c", b"second")]);
        site.owner("group.labs").edit = edit;
        let verdict = verdict(&site, "lux-002", &site.issue().bundle().bytes()).unwrap();
        let codes = verdict.addressee.owners.iter().filter_map(|owner| Some(owner.outcome.as_ref().err()?.code()));
        assert_eq!(codes.collect::<Vec<_>>(), [Code::ManifestInvalid], "{name}");
    }
}

#[test]
fn an_owner_who_signs_a_wrong_length_for_shared_content_fails_alone() {
    let mut site = Site::contested();
    let bundle = site.issue().bundle().bytes();
    let expected = [None, Some(Code::ManifestInvalid), None];
    assert_eq!(owner_codes(&verdict(&site, "lux-002", &bundle).unwrap().addressee.owners), expected);
    assert_eq!(owner_codes(&inspect(&site, &bundle).unwrap().addressees[1].owners), expected);
    // The content is somebody else's, and nobody here but the liar wants it.
    site.assign("lux-002", &["labs"], &["north"]);
    let bundle = site.issue().bundle().bytes();
    assert_eq!(owner_codes(&verdict(&site, "lux-002", &bundle).unwrap().addressee.owners), expected[1..]);
}

#[test]
fn shared_content_that_is_held_already_disproves_a_wrong_length_too() {
    let site = Site::contested();
    let content = b"server_name: clinics.example\n";
    let mut bundle = site.issue().bundle();
    bundle.members.remove(bundle.position(content));
    let appraised = |held| {
        let audience =
            casemate_protocol::bundle::appraisal::Audience::Appliance(casemate_tests::repository::device("lux-002"));
        let clock = casemate_tests::repository::clock();
        let mut shelf = Shelf { held, ..Shelf::default() };
        appraise(&bundle.bytes(), site.stored(), clock, audience, &mut shelf).unwrap().finish()
    };
    let verdict = appraised(vec![(Digest::of(content), content.len() as u64)]).unwrap();
    assert_eq!(owner_codes(&verdict.addressee.owners), [None, Some(Code::ManifestInvalid), None]);
    // Who is right is not known before the content is there: another bundle may bring it.
    assert_eq!(appraised(Vec::new()).unwrap_err().code(), Code::Missing);
}

#[test]
fn an_owner_who_signs_two_lengths_for_one_content_is_invalid() {
    let (mut site, _) = sample();
    *site.owner("group.labs") = Subtree::of(&[("a", b"the same"), ("b", b"the same")]);
    let labs = site.owner("group.labs");
    labs.edit = |manifest| {
        manifest.files[0].length += 7;
        manifest.files[0].parts[0].length += 7;
    };
    labs.edit_targets = |targets| targets.targets.get_mut("groups/labs/files/a").unwrap().length += 7;
    let verdict = verdict(&site, "lux-002", &site.issue().bundle().bytes()).unwrap();
    let OwnerRefusal::Manifest { why, .. } = verdict.addressee.owners[1].outcome.as_ref().unwrap_err() else {
        panic!("{:?}", verdict.addressee.owners[1].outcome)
    };
    assert!(why.contains("two lengths"), "{why}");
}

#[test]
fn the_manifest_of_one_appliance_replaces_the_groups() {
    let (mut site, _) = sample();
    let own = [("own.conf".to_owned(), b"mine".to_vec())].into();
    site.owner("group.clinics").own.insert("lux-001".parse().unwrap(), own);
    let bundle = site.issue().bundle().bytes();
    let files = |id| {
        let verdict = verdict(&site, id, &bundle).unwrap();
        verdict.addressee.owners[0].outcome.as_ref().unwrap().manifest.files.len()
    };
    assert_eq!((files("lux-001"), files("lux-002")), (1, 2));
}
