//! `appliances/<id>.json`: an enrolled appliance's public keys, and whether somebody has compared the words.

use casemate_protocol::canonical;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::enrolment::{DeviceKeys, MAX_ENROLMENT_FILE};
use casemate_protocol::device::id::{ApplianceId, Jurisdiction};
use casemate_protocol::device::words::Words;
use casemate_protocol::digest::Digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest file read, bytes.
pub(crate) const MAX_LENGTH: u64 = MAX_ENROLMENT_FILE;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrolled {
    /// 1.
    pub(crate) format: u32,
    /// Its id.
    pub(crate) appliance: ApplianceId,
    /// Where it lives, as granted.
    pub(crate) jurisdiction: Jurisdiction,
    /// Whether its assignment is released.
    pub(crate) state: State,
    /// Its public keys.
    pub(crate) keys: DeviceKeys,
    /// SHA-256 of the root the grant carried.
    pub(crate) root: Digest,
    /// The certificate request it came with: PKCS#10, DER, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) csr: Option<String>,
}

/// How far an enrolment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Granted; nobody has compared the words yet, so nothing is addressed to it.
    Pending,
    /// Somebody has compared the words over another channel.
    Confirmed,
}

impl State {
    /// `pending` or `confirmed`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
        }
    }
}

/// A file that is no enrolment of this site.
#[derive(Debug, Error)]
pub(crate) enum EnrolledError {
    /// Not strict JSON.
    #[error("{0} is not JSON")]
    Json(String, #[source] canonical::JsonError),
    /// Another shape.
    #[error("{0} is not an enrolment")]
    Shape(String, #[source] serde_json::Error),
    /// The file's name and content disagree.
    #[error("{file} is about appliance {found}")]
    Name {
        /// The file.
        file: String,
        /// Whom it names.
        found: ApplianceId,
    },
    /// The keys are unusable.
    #[error("{0} holds keys that cannot be used")]
    Keys(String, #[source] casemate_protocol::device::enrolment::EnrolmentError),
}

impl Explain for EnrolledError {
    fn code(&self) -> Code {
        Code::SiteInvalid
    }

    fn remedy(&self) -> String {
        "The tool writes these files; restore it from version control, or enrol the appliance again.".into()
    }
}

impl Enrolled {
    /// Reads the file of appliance `id`.
    ///
    /// # Errors
    /// Not such a file, or one about somebody else.
    pub(crate) fn parse(id: &ApplianceId, raw: &[u8]) -> Result<Self, EnrolledError> {
        let file = Self::file(id);
        let value = canonical::parse(raw).map_err(|source| EnrolledError::Json(file.clone(), source))?;
        let enrolled: Self =
            serde_json::from_value(value).map_err(|source| EnrolledError::Shape(file.clone(), source))?;
        if enrolled.appliance != *id {
            return Err(EnrolledError::Name { file, found: enrolled.appliance });
        }
        enrolled.keys.check().map_err(|source| EnrolledError::Keys(file, source))?;
        Ok(enrolled)
    }

    /// The file's path in the site.
    pub(crate) fn file(id: &ApplianceId) -> String {
        format!("appliances/{id}.json")
    }

    /// The words both sides show.
    pub(crate) fn words(&self) -> Words {
        Words::new(self.keys.fingerprint(), &self.appliance, self.jurisdiction, self.root)
    }

    /// The file's content, indented: people review it.
    ///
    /// # Errors
    /// Never for one of [`Self::parse`].
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, EnrolledError> {
        let shape = |source| EnrolledError::Shape(Self::file(&self.appliance), source);
        let value = serde_json::to_value(self).map_err(shape)?;
        Ok(format!("{value:#}\n").into_bytes())
    }
}
