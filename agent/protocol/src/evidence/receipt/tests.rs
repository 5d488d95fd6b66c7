use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::encoding;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn document(pair: &Ed25519KeyPair) -> KeyDocument {
    KeyDocument::ed25519(pair.public_key().as_ref().try_into().unwrap())
}

fn statement() -> Statement {
    let receipt = Receipt {
        appliance: "lux-001".parse().unwrap(),
        jurisdiction: "LU".parse().unwrap(),
        device: Digest::of(b"device"),
        sequence: 1,
        code: Code::Applied,
        owners: Vec::new(),
        boundary: None,
        count: 1,
        archive: None,
        root_version: 1,
        demo: true,
        time: UtcTime::from_unix(1_795_311_555),
        clock: ClockQuality::Plausible,
        journal: JournalPosition { size: 3, root: Digest::of(b"tree") },
        transport: None,
    };
    Statement::new(Subject::snapshot(Version::FIRST, Digest::of(b"snapshot")), receipt)
}

fn sealed(statement: &Statement, seed: u8) -> Vec<u8> {
    let pair = pair(seed);
    statement.seal(document(&pair).keyid(), |message| pair.sign(message).as_ref().to_vec()).unwrap()
}

#[test]
fn a_receipt_is_read_back_as_it_was_sealed() {
    let verified = verify(&sealed(&statement(), 1), &document(&pair(1))).unwrap();
    assert_eq!(verified.statement(), &statement());
}

#[test]
fn a_receipt_of_another_device_is_refused_even_under_this_devices_key_id() {
    let envelope = sealed(&statement(), 2);
    assert!(matches!(verify(&envelope, &document(&pair(1))), Err(ReceiptError::Envelope(DsseError::Unsigned(_)))));
    let (theirs, ours) = (document(&pair(2)).keyid().to_string(), document(&pair(1)).keyid().to_string());
    let renamed = String::from_utf8(envelope).unwrap().replace(&theirs, &ours);
    assert!(matches!(
        verify(renamed.as_bytes(), &document(&pair(1))),
        Err(ReceiptError::Envelope(DsseError::Unsigned(_)))
    ));
}

#[test]
fn every_changed_byte_of_the_payload_is_noticed() {
    let envelope = Envelope::parse(&sealed(&statement(), 1)).unwrap();
    let payload = encoding::from_base64(&envelope.payload).unwrap();
    for position in 0..payload.len() {
        let mut changed = payload.clone();
        changed[position] ^= 1;
        let envelope = Envelope { payload: encoding::to_base64(&changed), ..envelope.clone() };
        assert!(verify(&envelope.to_bytes().unwrap(), &document(&pair(1))).is_err(), "byte {position}");
    }
}

#[test]
fn a_signature_for_another_purpose_is_no_receipt() {
    let pair = pair(1);
    let payload = signed::message(&statement()).unwrap();
    let envelope =
        Envelope::seal("application/other", &payload, document(&pair).keyid(), |m| pair.sign(m).as_ref().to_vec());
    let result = verify(&envelope.to_bytes().unwrap(), &document(&pair));
    assert!(matches!(result, Err(ReceiptError::Envelope(DsseError::PayloadType { .. }))));

    let other = Statement { predicate_type: "urn:other".into(), ..statement() };
    let result = verify(&sealed(&other, 1), &document(&pair));
    assert!(matches!(result, Err(ReceiptError::Kind { field: "predicateType", .. })));

    let other = Statement { kind: "https://in-toto.io/Statement/v0.1".into(), ..statement() };
    assert!(matches!(verify(&sealed(&other, 1), &document(&pair)), Err(ReceiptError::Kind { field: "_type", .. })));

    let two = Statement { subject: [statement().subject, statement().subject].concat(), ..statement() };
    assert!(matches!(verify(&sealed(&two, 1), &document(&pair)), Err(ReceiptError::Subjects(2))));
}

#[test]
fn the_overall_code_is_the_worst_and_a_change_outweighs_none() {
    let owner = |name: &str, code| OwnerOutcome {
        id: format!("group.{name}").parse().unwrap(),
        code,
        before: None,
        after: None,
    };
    let overall = |codes: &[Code]| overall(&codes.iter().map(|code| owner("a", *code)).collect::<Vec<_>>());
    assert_eq!(overall(&[]), Code::AlreadyApplied);
    assert_eq!(overall(&[Code::AlreadyApplied, Code::Applied]), Code::Applied);
    assert_eq!(overall(&[Code::AlreadyApplied, Code::Removed]), Code::Applied);
    assert_eq!(overall(&[Code::Applied, Code::OwnerUnverified]), Code::OwnerUnverified);
    assert_eq!(overall(&[Code::OwnerUnverified, Code::DiskFull, Code::Applied]), Code::DiskFull);
}
