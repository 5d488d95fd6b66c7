//! What an appliance's connections are made with, as signed in its assignment: its certificate, whose certificates it
//! accepts, and which of them are revoked.
//!
//! With whom it talks stands in the boundary, not here. Nothing here is secret: the private key never leaves the
//! appliance, and a private key is all that a certificate is worth.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::code::{Code, Explain};
use crate::digest::Digest;
use crate::encoding::{self, EncodingError};

/// Certificates of one chain.
const MAX_CHAIN: usize = 4;
/// Certificate authorities.
const MAX_ANCHORS: usize = 4;
/// Longest certificate, bytes of DER.
const MAX_CERTIFICATE: usize = 4096;
/// Longest revocation list, bytes of DER: about 400 certificates that are revoked and have not expired.
const MAX_CRL: usize = 16 * 1024;
/// Revoked keys of peers.
const MAX_REVOKED_KEYS: usize = 128;
/// Seconds between two looks at a repository where nothing is stated.
pub const DEFAULT_POLL_SECONDS: u32 = 3600;
/// Days after which a revocation list is stale where nothing is stated.
pub const DEFAULT_CRL_MAX_AGE_DAYS: u32 = 90;

/// The part of an assignment that is about connections. All DER stands in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransportSettings {
    /// This appliance's certificate, then its issuers up to, and without, an anchor. Empty until one was issued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate: Vec<String>,
    /// Authorities whose certificates open the listener.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<String>,
    /// The authorities' revocation lists: at most one each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<String>,
    /// Keys that no peer may prove any more, whatever the boundary pins and whatever certificate comes with them:
    /// SHA-256 of SubjectPublicKeyInfo. A list revokes certificates, and whoever stole a key makes himself another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_keys: Vec<Digest>,
    /// A revocation list older than this, or past its own next update, degrades health. Never more: what it revokes
    /// stays revoked.
    #[serde(default = "default_crl_max_age_days")]
    pub crl_max_age_days: u32,
    /// Seconds between two looks at a repository, before jitter: 10 to 604,800.
    #[serde(default = "default_poll_seconds")]
    pub poll_seconds: u32,
}

const fn default_crl_max_age_days() -> u32 {
    DEFAULT_CRL_MAX_AGE_DAYS
}

const fn default_poll_seconds() -> u32 {
    DEFAULT_POLL_SECONDS
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            certificate: Vec::new(),
            anchors: Vec::new(),
            crls: Vec::new(),
            revoked_keys: Vec::new(),
            crl_max_age_days: DEFAULT_CRL_MAX_AGE_DAYS,
            poll_seconds: DEFAULT_POLL_SECONDS,
        }
    }
}

/// [`TransportSettings`] out of base64. What the DER says is not looked at here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportMaterial {
    /// The appliance's certificate and its issuers.
    pub certificate: Vec<Vec<u8>>,
    /// Authorities.
    pub anchors: Vec<Vec<u8>>,
    /// Revocation lists.
    pub crls: Vec<Vec<u8>>,
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// More entries than allowed.
    #[error("{found} {what}, at most {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An entry is longer than allowed.
    #[error("one of the {what} has {found} bytes, at most {limit} are allowed")]
    TooLong {
        /// Of which.
        what: &'static str,
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// An entry is not base64.
    #[error("one of the {what} is not base64")]
    Base64 {
        /// Of which.
        what: &'static str,
        /// Why.
        #[source]
        source: EncodingError,
    },
    /// Out of range.
    #[error("poll_seconds is {0}, expected 10 to 604800")]
    Poll(u32),
}

impl Explain for TransportError {
    fn code(&self) -> Code {
        Code::TransportInvalid
    }
}

impl TransportSettings {
    /// The DER.
    ///
    /// # Errors
    /// A limit is exceeded, or an entry is not base64.
    pub fn material(&self) -> Result<TransportMaterial, TransportError> {
        if !(10..=604_800).contains(&self.poll_seconds) {
            return Err(TransportError::Poll(self.poll_seconds));
        }
        limit("revoked keys", self.revoked_keys.len(), MAX_REVOKED_KEYS)?;
        Ok(TransportMaterial {
            certificate: decode("certificates of the chain", &self.certificate, MAX_CHAIN, MAX_CERTIFICATE)?,
            anchors: decode("anchors", &self.anchors, MAX_ANCHORS, MAX_CERTIFICATE)?,
            crls: decode("revocation lists", &self.crls, MAX_ANCHORS, MAX_CRL)?,
        })
    }
}

impl TransportMaterial {
    /// The settings that carry it, everything else as it is by default.
    #[must_use]
    pub fn settings(&self) -> TransportSettings {
        let encode = |list: &[Vec<u8>]| list.iter().map(|der| encoding::to_base64(der)).collect();
        TransportSettings {
            certificate: encode(&self.certificate),
            anchors: encode(&self.anchors),
            crls: encode(&self.crls),
            ..TransportSettings::default()
        }
    }
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), TransportError> {
    if found > limit { Err(TransportError::TooMany { what, found, limit }) } else { Ok(()) }
}

fn decode(what: &'static str, list: &[String], most: usize, longest: usize) -> Result<Vec<Vec<u8>>, TransportError> {
    limit(what, list.len(), most)?;
    let one = |text: &String| {
        let der = encoding::from_base64(text).map_err(|source| TransportError::Base64 { what, source })?;
        match der.len() {
            found if found > longest => Err(TransportError::TooLong { what, found, limit: longest }),
            _ => Ok(der),
        }
    };
    list.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_limits_hold() {
        let material =
            TransportMaterial { certificate: vec![vec![1; 4096]], anchors: vec![vec![2]], crls: vec![vec![3; 16_384]] };
        assert_eq!(material.settings().material().unwrap(), material);
        let long = TransportMaterial { crls: vec![vec![3; 16_385]], ..material.clone() };
        assert!(matches!(long.settings().material(), Err(TransportError::TooLong { found: 16_385, .. })));
        let many = TransportMaterial { anchors: vec![vec![2]; 5], ..material.clone() };
        assert!(matches!(many.settings().material(), Err(TransportError::TooMany { found: 5, .. })));
        let settings = TransportSettings { crls: vec!["!".into()], ..material.settings() };
        assert!(matches!(settings.material(), Err(TransportError::Base64 { .. })));
        let settings = TransportSettings { poll_seconds: 9, ..material.settings() };
        assert_eq!(settings.material(), Err(TransportError::Poll(9)));
        let keys = |number| TransportSettings { revoked_keys: vec![Digest::of(b"key"); number], ..material.settings() };
        assert_eq!(keys(128).material().unwrap(), material);
        assert!(matches!(keys(129).material(), Err(TransportError::TooMany { found: 129, .. })));
    }

    #[test]
    fn settings_without_revoked_keys_are_read_and_written_as_before() {
        let text = r#"{"crl_max_age_days":90,"poll_seconds":3600}"#;
        let settings: TransportSettings = serde_json::from_str(text).unwrap();
        assert_eq!(
            (&settings, serde_json::to_string(&settings).unwrap()),
            (&TransportSettings::default(), text.into())
        );
    }
}
