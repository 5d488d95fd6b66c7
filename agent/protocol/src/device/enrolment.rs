//! Enrolment: a request file out, a grant file back, the same words on both sides.
//!
//! Neither file is secret and neither is trusted: whoever can swap them is caught by the words, which cover every
//! device key, the id, the jurisdiction and the root. Somebody compares them over another channel.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::id::{ApplianceId, Jurisdiction};
use super::key::{DeviceKey, DeviceKeyError};
use super::words::Words;
use crate::canonical::{self, JsonError};
use crate::code::{Code, Explain};
use crate::digest::Digest;
use crate::encoding;
use crate::keys::{KeyDocument, Signature};
use crate::signed;

/// Longest request or grant read, bytes.
pub const MAX_ENROLMENT_FILE: u64 = 1024 * 1024;
/// `kind` of a request.
pub const REQUEST_KIND: &str = "casemate-enrolment-request";
/// `kind` of a grant.
pub const GRANT_KIND: &str = "casemate-enrolment-grant";
/// `format` of the requests and grants written here.
pub const FORMAT: u32 = 1;

/// Why a request or a grant is not acceptable.
#[derive(Debug, Error)]
pub enum EnrolmentError {
    /// Longer than [`MAX_ENROLMENT_FILE`].
    #[error("the file has {0} bytes, at most {MAX_ENROLMENT_FILE} are read")]
    Length(u64),
    /// Not strict JSON.
    #[error("the file cannot be parsed")]
    Json(#[from] JsonError),
    /// JSON of another shape.
    #[error("the file has another shape than a {expected}")]
    Shape {
        /// The kind wanted.
        expected: &'static str,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
    /// Another document, or a newer one.
    #[error("expected a {expected} of format {FORMAT}, the file says {found:?} of format {format}")]
    Kind {
        /// The kind wanted.
        expected: &'static str,
        /// The kind found.
        found: String,
        /// The format found.
        format: u32,
    },
    /// A key is unusable, or the request is not signed by the key it names.
    #[error("the device's {purpose} key")]
    Key {
        /// `receipts`, `tls` or `unsealing`.
        purpose: &'static str,
        /// Why.
        #[source]
        source: DeviceKeyError,
    },
    /// One key for two purposes.
    #[error("the three device keys are not distinct")]
    KeyReused,
    /// The grant's root is not base64.
    #[error("the grant's root is not base64")]
    Root(#[source] encoding::EncodingError),
}

impl Explain for EnrolmentError {
    fn code(&self) -> Code {
        Code::EnrolmentInvalid
    }
}

/// An appliance's public keys, one for each purpose. Private halves never leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceKeys {
    /// Signs receipts and health.
    pub receipts: KeyDocument,
    /// Authenticates connections.
    pub tls: KeyDocument,
    /// Opens what is sealed to this appliance.
    pub unsealing: KeyDocument,
}

impl DeviceKeys {
    /// SHA-256 over the three keys' fingerprints in this order: the device's identity.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let fingerprints = [&self.receipts, &self.tls, &self.unsealing].map(KeyDocument::fingerprint);
        Digest::of(fingerprints.map(|digest| *digest.as_bytes()).as_flattened())
    }

    /// Checks that all three are usable and distinct, and returns the receipts key.
    ///
    /// # Errors
    /// A key of an unknown algorithm, a malformed one, or one key for two purposes.
    pub fn check(&self) -> Result<DeviceKey, EnrolmentError> {
        let read =
            |purpose, document| DeviceKey::new(document).map_err(|source| EnrolmentError::Key { purpose, source });
        let receipts = read("receipts", &self.receipts)?;
        let (tls, unsealing) = (read("tls", &self.tls)?, read("unsealing", &self.unsealing)?);
        if receipts == tls || receipts == unsealing || tls == unsealing {
            return Err(EnrolmentError::KeyReused);
        }
        Ok(receipts)
    }
}

/// What an appliance asks, in `<name>.req`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// The signed part.
    pub request: RequestBody,
    /// By [`DeviceKeys::receipts`], over the canonical JSON of `request`.
    pub signature: Signature,
}

/// The signed part of an [`EnrolmentRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    /// `casemate-enrolment-request`.
    pub kind: String,
    /// 1.
    pub format: u32,
    /// The device's keys.
    pub keys: DeviceKeys,
    /// A certificate request (PKCS#10, DER, base64) by [`DeviceKeys::tls`]: whoever issues the certificate has proof
    /// that the device holds that key. What it says beside the key does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
}

impl EnrolmentRequest {
    /// A request for `keys`, with the certificate request `csr` in DER, signed by `sign` with the receipts key.
    ///
    /// # Errors
    /// Never for keys of this program; the canonical form of foreign text can fail.
    pub fn new(keys: DeviceKeys, csr: Option<&[u8]>, sign: impl Fn(&[u8]) -> Vec<u8>) -> Result<Self, EnrolmentError> {
        let keyid = keys.receipts.keyid();
        let request =
            RequestBody { kind: REQUEST_KIND.into(), format: FORMAT, keys, csr: csr.map(encoding::to_base64) };
        let signature = signed::sign(&request, keyid, sign)?;
        Ok(Self { request, signature })
    }

    /// Reads a request and checks that whoever wrote it holds the receipts key it names.
    ///
    /// That proves possession, not identity: only the [`Words`] tell whose device it is.
    ///
    /// # Errors
    /// Too long, not strict JSON, another shape or format, unusable keys, or not signed by the receipts key.
    pub fn parse(raw: &[u8]) -> Result<Self, EnrolmentError> {
        let request: Self = read(raw, REQUEST_KIND)?;
        expect_kind(REQUEST_KIND, &request.request.kind, request.request.format)?;
        let receipts = request.request.keys.check()?;
        let refuse = |source| EnrolmentError::Key { purpose: "receipts", source };
        let signature = encoding::from_hex(&request.signature.sig)
            .map_err(|_| refuse(DeviceKeyError::Signature(receipts.keyid().clone())))?;
        receipts.check(&signed::message(&request.request)?, &signature).map_err(refuse)?;
        Ok(request)
    }

    /// The device's keys.
    #[must_use]
    pub fn keys(&self) -> &DeviceKeys {
        &self.request.keys
    }

    /// The file's content: canonical JSON and a line end.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, EnrolmentError> {
        to_file(self)
    }
}

/// What the control plane answers, in `<name>.grant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentGrant {
    /// `casemate-enrolment-grant`.
    pub kind: String,
    /// 1.
    pub format: u32,
    /// The appliance's id from now on.
    pub appliance: ApplianceId,
    /// Its jurisdiction.
    pub jurisdiction: Jurisdiction,
    /// [`DeviceKeys::fingerprint`] of the request this answers.
    pub device: Digest,
    /// The root metadata to start from, base64 of its exact bytes.
    pub root: String,
}

impl EnrolmentGrant {
    /// A grant; `root` is the root metadata's exact bytes.
    #[must_use]
    pub fn new(appliance: ApplianceId, jurisdiction: Jurisdiction, device: Digest, root: &[u8]) -> Self {
        let root = encoding::to_base64(root);
        Self { kind: GRANT_KIND.into(), format: FORMAT, appliance, jurisdiction, device, root }
    }

    /// Reads a grant. A grant is unsigned: the root inside is checked by the TUF client, all of it by the words.
    ///
    /// # Errors
    /// Too long, not strict JSON, another shape or format, or a root that is not base64.
    pub fn parse(raw: &[u8]) -> Result<Self, EnrolmentError> {
        let grant: Self = read(raw, GRANT_KIND)?;
        expect_kind(GRANT_KIND, &grant.kind, grant.format)?;
        grant.root_bytes()?;
        Ok(grant)
    }

    /// The root metadata's exact bytes.
    ///
    /// # Errors
    /// Not base64; never after [`Self::parse`].
    pub fn root_bytes(&self) -> Result<Vec<u8>, EnrolmentError> {
        encoding::from_base64(&self.root).map_err(EnrolmentError::Root)
    }

    /// The words for this grant as answered to `device`, the keys' fingerprint as *this side* knows it.
    ///
    /// # Errors
    /// As [`Self::root_bytes`].
    pub fn words(&self, device: Digest) -> Result<Words, EnrolmentError> {
        Ok(Words::new(device, &self.appliance, self.jurisdiction, Digest::of(&self.root_bytes()?)))
    }

    /// The file's content: canonical JSON and a line end.
    ///
    /// # Errors
    /// Never for a grant of [`Self::new`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, EnrolmentError> {
        to_file(self)
    }
}

fn read<T: DeserializeOwned>(raw: &[u8], expected: &'static str) -> Result<T, EnrolmentError> {
    let length = raw.len() as u64;
    if length > MAX_ENROLMENT_FILE {
        return Err(EnrolmentError::Length(length));
    }
    serde_json::from_value(canonical::parse(raw)?).map_err(|source| EnrolmentError::Shape { expected, source })
}

fn expect_kind(expected: &'static str, found: &str, format: u32) -> Result<(), EnrolmentError> {
    if found == expected && format == FORMAT {
        return Ok(());
    }
    Err(EnrolmentError::Kind { expected, found: found.chars().take(80).collect(), format })
}

fn to_file(document: &impl Serialize) -> Result<Vec<u8>, EnrolmentError> {
    let mut text = signed::message(document)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::Value;

    use super::*;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn document(pair: &Ed25519KeyPair) -> KeyDocument {
        KeyDocument::ed25519(pair.public_key().as_ref().try_into().unwrap())
    }

    fn keys() -> DeviceKeys {
        let [receipts, tls, unsealing] = [1, 2, 3].map(|seed| document(&pair(seed)));
        DeviceKeys { receipts, tls, unsealing }
    }

    fn request() -> EnrolmentRequest {
        EnrolmentRequest::new(keys(), None, |message| pair(1).sign(message).as_ref().to_vec()).unwrap()
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<EnrolmentRequest, EnrolmentError> {
        let mut value = serde_json::to_value(request()).unwrap();
        change(&mut value);
        EnrolmentRequest::parse(&serde_json::to_vec(&value).unwrap())
    }

    #[test]
    fn a_request_survives_the_journey() {
        let request = request();
        assert_eq!(EnrolmentRequest::parse(&request.to_bytes().unwrap()).unwrap(), request);
    }

    #[test]
    fn a_request_whose_keys_were_changed_on_the_way_is_refused() {
        let stranger = serde_json::to_value(document(&pair(9))).unwrap();
        for purpose in ["receipts", "tls", "unsealing"] {
            let result = changed(|value| value["request"]["keys"][purpose] = stranger.clone());
            assert!(matches!(result, Err(EnrolmentError::Key { purpose: "receipts", .. })), "{purpose}");
        }
    }

    #[test]
    fn a_request_with_one_key_for_two_purposes_is_refused() {
        let mut keys = keys();
        keys.tls = keys.receipts.clone();
        let request = EnrolmentRequest::new(keys, None, |message| pair(1).sign(message).as_ref().to_vec()).unwrap();
        let result = EnrolmentRequest::parse(&request.to_bytes().unwrap());
        assert!(matches!(result, Err(EnrolmentError::KeyReused)));
    }

    #[test]
    fn a_request_of_another_kind_format_algorithm_or_shape_is_refused() {
        assert!(matches!(
            changed(|value| value["request"]["kind"] = GRANT_KIND.into()),
            Err(EnrolmentError::Kind { .. })
        ));
        assert!(matches!(changed(|value| value["request"]["format"] = 2.into()), Err(EnrolmentError::Kind { .. })));
        assert!(matches!(changed(|value| value["more"] = 1.into()), Err(EnrolmentError::Shape { .. })));
        let result = changed(|value| value["request"]["keys"]["tls"]["scheme"] = "ed448".into());
        assert!(matches!(result, Err(EnrolmentError::Key { purpose: "tls", .. })));
        assert!(matches!(EnrolmentRequest::parse(b"{"), Err(EnrolmentError::Json(_))));
    }

    #[test]
    fn a_grant_survives_the_journey_and_its_words_are_those_of_the_other_side() {
        let device = keys().fingerprint();
        let grant = EnrolmentGrant::new("lux-001".parse().unwrap(), "LU".parse().unwrap(), device, b"root");
        let read = EnrolmentGrant::parse(&grant.to_bytes().unwrap()).unwrap();
        assert_eq!((read.root_bytes().unwrap(), &read), (b"root".to_vec(), &grant));
        assert_eq!(read.words(device).unwrap(), grant.words(device).unwrap());
    }

    #[test]
    fn an_endless_file_is_refused_before_it_is_parsed() {
        let long = vec![b' '; usize::try_from(MAX_ENROLMENT_FILE).unwrap() + 1];
        assert!(matches!(EnrolmentGrant::parse(&long), Err(EnrolmentError::Length(_))));
    }
}
