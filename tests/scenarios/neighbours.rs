//! One owner must never harm another, whatever it signs about the other's content.

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Disposition, OwnerVerdict};
use casemate_protocol::bundle::archive::Member;
use casemate_protocol::bundle::part::MAX_PART;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::{Client, Rules};
use casemate_protocol::tuf::targets::{TargetFile, Targets};
use casemate_tests::repository::{Bundle, Issue, Site, Subtree, clock, device, signed_at};

use crate::judge::{Shelf, appraise, inspect, verdict};

const CLINICS: &str = "groups/clinics/manifest.json";

fn codes(owners: &[OwnerVerdict]) -> Vec<Option<Code>> {
    owners.iter().map(|owner| owner.outcome.as_ref().err().map(Explain::code)).collect()
}

/// What `issue` is to everybody on lux-002, as the appliance and as the packer see it.
fn outcome(site: &Site, bundle: &Bundle) -> Vec<Option<Code>> {
    let bytes = bundle.bytes();
    let own = codes(&verdict(site, "lux-002", &bytes).unwrap_or_else(|error| panic!("{error}")).addressee.owners);
    assert_eq!(codes(&inspect(site, &bytes).unwrap().addressees[1].owners), own);
    own
}

/// The sample, in which `owner` lists `content` as its file `taken`.
fn takes(owner: &str, content: &[u8]) -> Site {
    let mut site = Site::sample();
    site.owner(owner).files.insert("taken".into(), content.to_vec());
    site
}

fn content(issue: &Issue, path: &str) -> Vec<u8> {
    issue.content[path].clone()
}

#[test]
fn an_owner_may_list_what_is_anothers_manifest_or_assignment_as_a_file() {
    let issue = Site::sample().issue();
    for path in [CLINICS, "groups/labs/manifest.json", "appliances/lux-001.json", "appliances/lux-002.json"] {
        for owner in ["group.labs", "tenant.north"].into_iter().filter(|owner| !path.contains(&owner[6..])) {
            let site = takes(owner, &content(&issue, path));
            assert_eq!(outcome(&site, &site.issue().bundle()), [None, None, None], "{owner} takes {path}");
        }
    }
}

#[test]
fn another_appliances_manifest_may_be_listed_as_a_file_too() {
    let mut site = Site::sample();
    let own = [("own.conf".to_owned(), b"mine".to_vec())].into();
    site.owner("group.clinics").own.insert("lux-001".parse().unwrap(), own);
    let taken = content(&site.issue(), "groups/clinics/appliances/lux-001/manifest.json");
    // The first of all files, so that it follows the manifests at once.
    site.owner("group.clinics").files.insert("a".into(), taken);
    assert_eq!(outcome(&site, &site.issue().bundle()), [None, None, None]);
}

fn claim(targets: &mut Targets, path: &str, content: &[u8], length: u64) {
    let hashes = [("sha256".to_owned(), Digest::of(content).to_string())].into();
    targets.targets.insert(path.into(), TargetFile { length, hashes, custom: None });
}

const YAML: &[u8] = b"server_name: clinics.example\n";

/// `tenant.north` names a file of `group.clinics` as its manifest, which stands in the section of manifests as well.
fn north_claims_a_file() -> (Site, Bundle) {
    let mut site = Site::sample();
    site.owner("tenant.north").edit_targets =
        |targets| claim(targets, "tenants/north/manifest.json", YAML, YAML.len() as u64);
    let issue = site.issue();
    let mut bundle = issue.bundle();
    let at = bundle.position(&issue.content["tenants/north/manifest.json"]);
    bundle.members[at] = bundle.members[bundle.position(YAML)].clone();
    (site, bundle)
}

#[test]
fn an_owner_who_names_anothers_file_as_its_manifest_fails_alone() {
    let (site, bundle) = north_claims_a_file();
    assert_eq!(outcome(&site, &bundle), [None, None, Some(Code::ManifestInvalid)]);
}

#[test]
fn the_same_of_an_owner_who_does_not_verify_harms_nobody_either() {
    let (mut site, bundle) = north_claims_a_file();
    site.owner("tenant.north").expires = signed_at();
    let mut expired = site.issue().bundle();
    for (kind, content) in &bundle.members {
        if expired.members.iter().all(|(known, _)| known != kind) && kind.to_string().starts_with("objects/") {
            expired.members.push((kind.clone(), content.clone()));
        }
    }
    let at = expired.metadata("tenant.north");
    let twice = expired.members[expired.position(YAML)].clone();
    let manifests = at + 1;
    for place in manifests..=manifests + 3 {
        let mut bundle = expired.clone();
        bundle.members.insert(place, twice.clone());
        let late = casemate_protocol::tuf::time::Clock { wall: signed_at().plus_days(1), ..clock() };
        let audience = Audience::Appliance(device("lux-002"));
        let appraised = appraise(&bundle.bytes(), site.stored(), late, audience, &mut Shelf::default());
        let owners = appraised.unwrap_or_else(|error| panic!("{place}: {error}")).finish().unwrap().addressee.owners;
        assert_eq!(codes(&owners), [None, None, Some(Code::OwnerUnverified)], "{place}");
    }
}

#[test]
fn an_owner_whose_manifest_is_too_long_fails_alone() {
    let mut site = Site::sample();
    site.owner("tenant.north").edit_targets =
        |targets| targets.targets.get_mut("tenants/north/manifest.json").unwrap().length = 9 << 20;
    let issue = site.issue();
    let mut bundle = issue.bundle();
    bundle.members.remove(bundle.position(&issue.content["tenants/north/manifest.json"]));
    assert_eq!(outcome(&site, &bundle), [None, None, Some(Code::ManifestInvalid)]);
}

/// The appraisal of `bundle` for lux-002, just before the first file.
fn before_files(site: &Site, bundle: &Bundle) -> Appraisal {
    let client = Client::new(site.stored(), Rules::Casemate, clock()).unwrap();
    let mut appraisal = Appraisal::new(client, Audience::Appliance(device("lux-002")));
    for (kind, content) in &bundle.members {
        let member = Member { kind: kind.clone(), length: content.len() as u64 };
        match appraisal.member(Some(&member)).unwrap() {
            Disposition::Read => appraisal.content(content).unwrap(),
            Disposition::Settle => break,
            _ => {}
        }
    }
    appraisal.settle();
    appraisal
}

#[test]
fn a_wrong_length_of_shared_content_does_not_fill_the_disk_in_advance() {
    let honest = Site::sample();
    let needed = before_files(&honest, &honest.issue().bundle()).bytes_to_stage();
    let mut site = Site::sample();
    *site.owner("group.labs") = Subtree::of(&[("taken", YAML)]);
    let labs = site.owner("group.labs");
    labs.edit = |manifest| {
        manifest.files[0].length = MAX_PART;
        manifest.files[0].parts[0].length = MAX_PART;
    };
    labs.edit_targets = |targets| targets.targets.get_mut("groups/labs/files/taken").unwrap().length = MAX_PART;
    let found = before_files(&site, &site.issue().bundle()).bytes_to_stage();
    assert!(found <= needed, "{found} bytes are asked for, {needed} without the wrong length");
}
