//! Request, grant, words: who can join as what.

use casemate_agent::local_api::answer::EnrolmentState;
use casemate_agent::local_api::call::Call;
use casemate_protocol::code::Code;
use casemate_protocol::device::enrolment::{EnrolmentGrant, EnrolmentRequest};
use casemate_tests::appliance::Appliance;
use casemate_tests::repository::Site;

use crate::AGENT;

#[test]
fn nothing_is_enrolled_before_the_words_are_confirmed() {
    let (appliance, site) = (Appliance::new(AGENT), Site::sample());
    let grant = appliance.grant(&site, "lux-001");
    let pending = appliance.offer(&grant).unwrap();
    assert_eq!(appliance.status().enrolment, EnrolmentState::Pending);
    let wrong = pending.words[..2].join(" ");
    assert_eq!(appliance.ask(Call::EnrolWords { words: wrong }).unwrap_err().code, Code::WordsDiffer);
    assert_eq!(appliance.ask(Call::EnrolWords { words: String::new() }).unwrap_err().code, Code::WordsDiffer);
    assert_eq!(appliance.status().enrolment, EnrolmentState::Pending);
    appliance.ask(Call::EnrolWords { words: pending.words.join("\n").to_uppercase() }).unwrap();
    assert_eq!(appliance.status().enrolment, EnrolmentState::Confirmed);
}

#[test]
fn the_words_are_the_ones_the_control_plane_computes() {
    let (appliance, site) = (Appliance::new(AGENT), Site::sample());
    let grant = appliance.grant(&site, "lux-001");
    let theirs = EnrolmentGrant::parse(&grant).unwrap().words(appliance.keys().fingerprint()).unwrap();
    assert_eq!(appliance.offer(&grant).unwrap().words, theirs.lines());
}

#[test]
fn a_grant_swapped_on_the_way_shows_other_words() {
    let (appliance, site) = (Appliance::new(AGENT), Site::sample());
    let ours = EnrolmentGrant::parse(&appliance.grant(&site, "lux-001")).unwrap();
    let words = ours.words(appliance.keys().fingerprint()).unwrap();
    // Somebody with a root of his own answers the same request.
    let mut theirs = Site::sample();
    theirs.jurisdiction = "RS".parse().unwrap();
    for grant in [appliance.grant(&theirs, "lux-001"), appliance.grant(&site, "lux-002")] {
        let pending = appliance.offer(&grant).unwrap();
        assert_ne!(pending.words, words.lines());
        let refused = appliance.ask(Call::EnrolWords { words: words.to_string() }).unwrap_err();
        assert_eq!(refused.code, Code::WordsDiffer);
    }
}

#[test]
fn a_grant_for_swapped_keys_is_not_this_appliances() {
    let (appliance, stranger, site) = (Appliance::new(AGENT), Appliance::new(AGENT), Site::sample());
    let _request = appliance.request();
    let refused = appliance.offer(&stranger.grant(&site, "lux-001")).unwrap_err();
    assert_eq!(refused.code, Code::EnrolmentInvalid);
    assert!(refused.message.contains(&appliance.keys().fingerprint().to_string()), "{refused}");
}

#[test]
fn a_grant_whose_root_is_not_signed_by_itself_or_contradicts_the_grant_is_refused() {
    let (appliance, site) = (Appliance::new(AGENT), Site::sample());
    let device = appliance.keys().fingerprint();
    let grant = |jurisdiction: &str, root: &[u8]| {
        let grant = EnrolmentGrant::new("lux-001".parse().unwrap(), jurisdiction.parse().unwrap(), device, root);
        appliance.offer(&grant.to_bytes().unwrap()).unwrap_err()
    };
    let unsigned = String::from_utf8(site.root(1)).unwrap().replace("\"LU\"", "\"RS\"");
    assert_eq!(grant("RS", unsigned.as_bytes()).code, Code::EnrolmentInvalid);
    assert_eq!(grant("RS", &site.root(1)).code, Code::JurisdictionMismatch);
    assert_eq!(grant("LU", b"{}").code, Code::EnrolmentInvalid);
    assert_eq!(appliance.status().enrolment, EnrolmentState::None);
}

#[test]
fn who_is_enrolled_is_not_enrolled_again() {
    let (appliance, mut site) = (Appliance::new(AGENT), Site::sample());
    let grant = appliance.grant(&site, "lux-002");
    appliance.enrol(&mut site, "lux-001");
    assert_eq!(appliance.offer(&grant).unwrap_err().code, Code::AlreadyEnrolled);
    assert_eq!(appliance.ask(Call::EnrolRequest).unwrap_err().code, Code::AlreadyEnrolled);
}

#[test]
fn the_request_is_the_same_each_time_and_holds_no_private_key() {
    let appliance = Appliance::new(AGENT);
    let (first, second) = (appliance.request(), appliance.request());
    assert_eq!(first, second);
    for name in ["receipts", "tls", "unsealing"] {
        let key = std::fs::read(appliance.path("state/identity").join(format!("{name}.p8"))).unwrap();
        // PKCS#8 v2: the 32 bytes of the seed stand behind the 16-byte head.
        let seed = casemate_protocol::encoding::to_hex(&key[16..48]);
        assert!(!String::from_utf8_lossy(&first).contains(&seed));
    }
}

#[test]
fn openssl_reads_the_certificate_request_as_proof_of_the_tls_key_and_nothing_else() {
    let appliance = Appliance::new(AGENT);
    let request = EnrolmentRequest::parse(&appliance.request()).unwrap();
    let der = casemate_protocol::encoding::from_base64(request.request.csr.as_ref().unwrap()).unwrap();
    let (good, bad) = (appliance.path("good.csr"), appliance.path("bad.csr"));
    std::fs::write(&good, &der).unwrap();
    std::fs::write(&bad, [&der[..der.len() - 1], &[der[der.len() - 1] ^ 1]].concat()).unwrap();
    let openssl = |file: &std::path::Path| {
        let arguments = ["req", "-inform", "DER", "-verify", "-noout", "-subject", "-pubkey", "-in"];
        let output = std::process::Command::new("openssl").args(arguments).arg(file).output();
        let output = output.expect("openssl is missing: apt-get install openssl");
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (verified, said) = openssl(&good);
    assert!(verified && said.contains("verify OK"), "{said}");
    assert!(said.lines().any(|line| line.trim_end() == "subject="), "{said}");
    let public = casemate_protocol::encoding::from_hex(&appliance.keys().tls.keyval.public).unwrap();
    let spki = casemate_tests::authority::ed25519_spki(public.as_slice().try_into().unwrap());
    assert!(said.contains(&casemate_protocol::encoding::to_base64(&spki)), "{said}");
    let (_, said) = openssl(&bad);
    assert!(!said.contains("verify OK"), "{said}");
}

#[test]
fn another_devices_keys_under_this_state_are_noticed() {
    let (appliance, stranger) = (Appliance::new(AGENT), Appliance::new(AGENT));
    let _requests = (appliance.request(), stranger.request());
    let keys = appliance.path("state/identity");
    std::fs::remove_dir_all(&keys).unwrap();
    assert_eq!(appliance.ask(Call::Status).unwrap_err().code, Code::StateDamaged);
    std::fs::rename(stranger.path("state/identity"), &keys).unwrap();
    assert_eq!(appliance.ask(Call::Status).unwrap_err().code, Code::StateDamaged);
}
