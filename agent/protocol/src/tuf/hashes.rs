//! Stated lengths and digests.

use std::collections::BTreeMap;

use ring::digest::{SHA256, SHA512};

use crate::encoding;

/// In which way bytes are not what metadata states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch(pub &'static str);

/// Checks `bytes` against every stated digest of a known algorithm (`sha256`, `sha512`), of which there must be one.
///
/// # Errors
/// A digest differs, or none is of a known algorithm.
pub fn check(hashes: &BTreeMap<String, String>, bytes: &[u8]) -> Result<(), Mismatch> {
    let mut known = false;
    for (name, stated) in hashes {
        let algorithm = match name.as_str() {
            "sha256" => &SHA256,
            "sha512" => &SHA512,
            _ => continue,
        };
        known = true;
        let found = ring::digest::digest(algorithm, bytes);
        if encoding::from_hex(stated).ok().as_deref() != Some(found.as_ref()) {
            return Err(Mismatch("a digest differs"));
        }
    }
    if known { Ok(()) } else { Err(Mismatch("no digest of a known algorithm")) }
}

/// The digest to ask a consistent repository for, which keeps a target under each stated one: `sha256` if stated, else
/// `sha512`.
#[must_use]
pub fn prefix(hashes: &BTreeMap<String, String>) -> Option<&str> {
    hashes.get("sha256").or_else(|| hashes.get("sha512")).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn stated(pairs: &[(&str, String)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, hex)| ((*name).to_owned(), hex.clone())).collect()
    }

    #[test]
    fn every_known_digest_must_match_and_one_must_be_known() {
        let sha256 = Digest::of(b"x").to_string();
        let sha512 = encoding::to_hex(ring::digest::digest(&SHA512, b"x").as_ref());
        let both = stated(&[("sha256", sha256.clone()), ("sha512", sha512.clone())]);
        assert!(check(&both, b"x").is_ok());
        assert!(check(&stated(&[("sha512", sha512)]), b"x").is_ok());
        assert!(check(&stated(&[("sha256", sha256.clone()), ("blake2b", "00".into())]), b"x").is_ok());
        assert!(check(&both, b"y").is_err());
        assert!(check(&stated(&[("sha256", sha256.clone()), ("sha512", "00".repeat(64))]), b"x").is_err());
        assert!(check(&stated(&[("blake2b", sha256)]), b"x").is_err());
        assert!(check(&BTreeMap::new(), b"x").is_err());
    }
}
