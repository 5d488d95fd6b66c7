use super::*;
use crate::keys::{Algorithm, Signature};
use crate::signed;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Note {
    #[serde(rename = "_type")]
    kind: String,
}

impl Kind for Note {
    const TYPE: &'static str = "note";

    fn type_name(&self) -> &str {
        &self.kind
    }

    fn spec_version(&self) -> &str {
        "1.0"
    }
}

struct P256 {
    pair: EcdsaKeyPair,
    document: KeyDocument,
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", encoding::to_base64(der))
}

fn p256() -> P256 {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let head = encoding::from_hex("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let public = pem(&[&head, pair.public_key().as_ref()].concat());
    let keyval = crate::keys::KeyValue { public };
    let document = KeyDocument { keytype: "ecdsa".into(), scheme: "ecdsa-sha2-nistp256".into(), keyval };
    P256 { pair, document }
}

impl P256 {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

#[test]
fn an_ecdsa_key_verifies_its_own_signatures_only() {
    let (key, other) = (p256(), p256());
    let signature = key.sign(b"message");
    verify_detached(&key.document, b"message", &signature).unwrap();
    for (document, message, signature) in [
        (&other.document, &b"message"[..], &signature[..]),
        (&key.document, b"another", &signature),
        (&key.document, b"message", &signature[1..]),
        (&key.document, b"message", b""),
    ] {
        assert_eq!(verify_detached(document, message, signature), Err(KeyError::Signature));
    }
}

/// Made once with python `cryptography`: RSA 2048, PSS with a salt of 32 bytes over `message`.
const RSA_PUBLIC: &str = include_str!("rsa.pem");
const RSA_SIGNATURE: &str = include_str!("rsa.sig");

#[test]
fn an_rsa_key_verifies_pss_signatures() {
    let keyval = crate::keys::KeyValue { public: RSA_PUBLIC.into() };
    let document = KeyDocument { keytype: "rsa".into(), scheme: "rsassa-pss-sha256".into(), keyval };
    let signature = encoding::from_hex(RSA_SIGNATURE.trim()).unwrap();
    assert_eq!(PublicKey::parse(&document).unwrap().algorithm(), Algorithm::RsaPss);
    verify_detached(&document, b"message", &signature).unwrap();
    assert_eq!(verify_detached(&document, b"massage", &signature), Err(KeyError::Signature));
    let pkcs1 = KeyDocument { scheme: "rsa-pkcs1v15-sha256".into(), ..document };
    assert!(matches!(verify_detached(&pkcs1, b"message", &signature), Err(KeyError::UnknownAlgorithm { .. })));
}

#[test]
fn an_algorithm_is_never_guessed_from_the_key() {
    let key = p256().document;
    for (keytype, scheme) in [("ed25519", "ed25519"), ("rsa", "rsassa-pss-sha256")] {
        let claimed = KeyDocument { keytype: keytype.into(), scheme: scheme.into(), keyval: key.keyval.clone() };
        assert!(matches!(PublicKey::parse(&claimed), Err(KeyError::Malformed(_))), "{keytype}");
    }
    for (keytype, scheme) in [("ecdsa", "ed25519"), ("", ""), ("ED25519", "ed25519"), ("ecdsa", "ecdsa-sha2-nistp384")]
    {
        let claimed = KeyDocument { keytype: keytype.into(), scheme: scheme.into(), keyval: key.keyval.clone() };
        assert!(matches!(PublicKey::parse(&claimed), Err(KeyError::UnknownAlgorithm { .. })), "{keytype}");
    }
}

#[test]
fn one_key_written_in_two_ways_is_one_key() {
    let key = p256();
    let other_name = KeyDocument { keytype: "ecdsa-sha2-nistp256".into(), ..key.document.clone() };
    let one_line = key.document.keyval.public.replace("-----\n", "-----");
    let other_text = KeyDocument { keyval: crate::keys::KeyValue { public: one_line }, ..key.document.clone() };
    let fingerprint = |document| PublicKey::parse(document).unwrap().fingerprint();
    assert_eq!(fingerprint(&key.document), fingerprint(&other_name));
    assert_eq!(fingerprint(&key.document), fingerprint(&other_text));

    let note = json!({ "_type": "note" });
    let message = signed::message(&note).unwrap();
    let ids = ["a", "b", "c"].map(|id| KeyId(id.into()));
    let keys: BTreeMap<_, _> = ids.iter().cloned().zip([key.document.clone(), other_name, other_text]).collect();
    let signatures = ids.iter().map(|id| Signature { keyid: id.clone(), sig: encoding::to_hex(&key.sign(&message)) });
    let raw = signed::assemble(&note, signatures.collect()).unwrap();
    let document = Unverified::parse(&raw).unwrap();
    let authority = |threshold| Authority { keys: &keys, keyids: &ids, threshold, persons: Persons::Ignored };
    assert!(verify::<Note>(&document, &[authority(1)]).is_ok());
    let refused = verify::<Note>(&document, &[authority(2)]);
    assert!(matches!(refused, Err(VerifyError::Threshold { counted: 1, threshold: 2 })));
}

#[test]
fn nothing_is_verified_by_nobody() {
    let raw = signed::assemble(&json!({ "_type": "note" }), Vec::new()).unwrap();
    assert!(matches!(verify::<Note>(&Unverified::parse(&raw).unwrap(), &[]), Err(VerifyError::Role { .. })));
}
