//! What the enforcer was told once, by a person: whose boundary it enforces, and from which root.

use serde::{Deserialize, Serialize};

use super::error::OfferError;
use crate::bundle::appraisal::Device;
use crate::canonical;
use crate::device::enrolment::EnrolmentGrant;
use crate::device::id::{ApplianceId, Jurisdiction};
use crate::device::words::Words;
use crate::digest::Digest;
use crate::encoding;

/// `format` written and read here.
const FORMAT: u32 = 1;
/// Longest anchor read, bytes: as a grant.
const MAX_ANCHOR: usize = 1024 * 1024;

/// The enforcer's own start of trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// 1.
    pub format: u32,
    /// Whose boundary.
    pub appliance: ApplianceId,
    /// Where it lives.
    pub jurisdiction: Jurisdiction,
    /// Fingerprint of its device keys.
    pub device: Digest,
    /// The root metadata to start from, base64 of its exact bytes.
    root: String,
}

impl Anchor {
    /// An anchor; `root` is the exact bytes of the root metadata to start from.
    #[must_use]
    pub fn new(appliance: ApplianceId, jurisdiction: Jurisdiction, device: Digest, root: &[u8]) -> Self {
        Self { format: FORMAT, appliance, jurisdiction, device, root: encoding::to_base64(root) }
    }

    /// The anchor that `grant` gives. The grant is unsigned: somebody compares [`Self::words`].
    #[must_use]
    pub fn of(grant: &EnrolmentGrant) -> Self {
        let EnrolmentGrant { appliance, jurisdiction, device, root, .. } = grant.clone();
        Self { format: FORMAT, appliance, jurisdiction, device, root }
    }

    /// Reads an anchor.
    ///
    /// # Errors
    /// Too long, not strict JSON, another shape or format, or a root that is not base64.
    pub fn parse(raw: &[u8]) -> Result<Self, OfferError> {
        let refuse = |why: String| OfferError::Anchor { why };
        if raw.len() > MAX_ANCHOR {
            return Err(refuse(format!("it has {} bytes, at most {MAX_ANCHOR} are read", raw.len())));
        }
        let value = canonical::parse(raw).map_err(|error| refuse(error.to_string()))?;
        let anchor: Self = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
        if anchor.format != FORMAT {
            return Err(refuse(format!("format {} is not known, only {FORMAT}", anchor.format)));
        }
        anchor.root_bytes()?;
        Ok(anchor)
    }

    /// The anchor as text: canonical JSON and a line end.
    ///
    /// # Panics
    /// Never: an anchor is plain data.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "an anchor has text keys and no floats, so it always has a JSON form")]
        let mut text = crate::signed::message(self).expect("plain data");
        text.push(b'\n');
        text
    }

    /// The root metadata's exact bytes.
    ///
    /// # Errors
    /// Not base64; never after [`Self::parse`].
    pub fn root_bytes(&self) -> Result<Vec<u8>, OfferError> {
        encoding::from_base64(&self.root)
            .map_err(|error| OfferError::Anchor { why: format!("the root is not base64: {error}") })
    }

    /// The words that whoever enrols the appliance sees too.
    ///
    /// # Errors
    /// As [`Self::root_bytes`].
    pub fn words(&self) -> Result<Words, OfferError> {
        Ok(Words::new(self.device, &self.appliance, self.jurisdiction, Digest::of(&self.root_bytes()?)))
    }

    /// Whom an offer must be for.
    #[must_use]
    pub fn device(&self) -> Device {
        Device { id: self.appliance.clone(), jurisdiction: self.jurisdiction, keys: self.device }
    }
}
