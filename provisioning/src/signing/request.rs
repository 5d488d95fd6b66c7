//! What is carried to the signers, and what they send back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use casemate_protocol::canonical::{self, JsonError};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::keys::{KeyId, Signature};
use casemate_protocol::signed;
use casemate_protocol::tuf::role::{RoleKeys, RoleName};
use casemate_protocol::tuf::targets::Targets;
use casemate_protocol::verify::Kind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::repository::editor::Draft;
use crate::signer::Keyring;

/// Longest request or contribution read, bytes.
pub(crate) const MAX_LENGTH: u64 = 256 * 1024 * 1024;
const REQUEST_KIND: &str = "casemate-signing-request";
const CONTRIBUTION_KIND: &str = "casemate-signatures";

/// What persons are asked to sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// `casemate-signing-request`.
    pub(crate) kind: String,
    /// 1.
    pub(crate) format: u32,
    /// SHA-256 of the plan.
    pub(crate) plan: Digest,
    /// What the plan changes, as it was shown.
    pub(crate) summary: Vec<String>,
    /// The documents.
    pub(crate) drafts: Vec<Draft>,
    /// Who may sign which.
    pub(crate) signers: BTreeMap<RoleName, RoleKeys>,
}

/// What one machine's keys have signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contribution {
    /// `casemate-signatures`.
    pub(crate) kind: String,
    /// 1.
    pub(crate) format: u32,
    /// SHA-256 of the request.
    pub(crate) request: Digest,
    /// Signatures by role.
    pub(crate) signatures: BTreeMap<RoleName, Vec<Signature>>,
}

/// A request or contribution that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// Not strict JSON.
    #[error("{0} is not JSON")]
    Json(String, #[source] JsonError),
    /// Another shape.
    #[error("{file} is no {expected}")]
    Shape {
        /// The file.
        file: String,
        /// What it should be.
        expected: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// Another kind or format.
    #[error("{file} is a {found:?} of format {format}, expected {expected:?} of format 1")]
    Kind {
        /// The file.
        file: String,
        /// What it should be.
        expected: &'static str,
        /// As written.
        found: String,
        /// As written.
        format: u32,
    },
    /// It asks for a document that the tool asks nobody to sign.
    #[error("{file} asks for signatures on {role:?} {what}")]
    Draft {
        /// The file.
        file: String,
        /// The role.
        role: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The signatures answer another request.
    #[error("{file} answers request {found}, the one in hand is {expected}")]
    Other {
        /// The file.
        file: String,
        /// The one in hand.
        expected: Digest,
        /// The one it answers.
        found: Digest,
    },
    /// There is no request in hand.
    #[error("no signing request was made from this plan")]
    Absent,
    /// None of the keys may sign any of the documents.
    #[error("none of the keys given may sign anything in the request")]
    NoSigner,
    /// None of the keys in the folder may, where all were to sign at once.
    #[error("no key in {} may sign what is planned", .0.display())]
    NoneAtHand(PathBuf),
    /// No canonical form.
    #[error("the request cannot be encoded")]
    Encode(#[from] JsonError),
}

impl Explain for RequestError {
    fn code(&self) -> Code {
        match self {
            Self::Json(..) | Self::Shape { .. } | Self::Kind { .. } | Self::Draft { .. } => Code::UsageInvalid,
            Self::Other { .. } => Code::PlanStale,
            Self::Absent => Code::PlanMissing,
            Self::NoSigner | Self::NoneAtHand(_) => Code::SignersMissing,
            Self::Encode(_) => Code::Internal,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Json(..) | Self::Shape { .. } | Self::Kind { .. } => "Check that this is the file you mean.".into(),
            Self::Draft { .. } => "Do not sign it; ask whoever made it what it is for.".into(),
            Self::Other { .. } => "Send the newest request to this signer again.".into(),
            Self::Absent => "Run `casemate sign request -o FILE` and have it signed.".into(),
            Self::NoSigner => {
                "Use the key whose id the request names; `casemate key show FILE` tells a key's id.".into()
            }
            Self::NoneAtHand(_) => {
                "Name the folder with --keys, or have the persons sign: `casemate sign request`, `add`, `finish`."
                    .into()
            }
            Self::Encode(_) => self.code().remedy().into(),
        }
    }
}

impl Request {
    /// A request for signatures on `drafts`.
    pub(crate) fn new(
        plan: Digest,
        summary: Vec<String>,
        drafts: Vec<Draft>,
        signers: BTreeMap<RoleName, RoleKeys>,
    ) -> Self {
        Self { kind: REQUEST_KIND.into(), format: 1, plan, summary, drafts, signers }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// Not one.
    pub(crate) fn parse(file: &str, raw: &[u8]) -> Result<Self, RequestError> {
        let request: Self = parse(file, REQUEST_KIND, raw)?;
        expect(file, REQUEST_KIND, &request.kind, request.format)?;
        request.check(file)?;
        Ok(request)
    }

    /// Every draft is targets metadata of a role that persons sign, once: a second one would hide behind the first.
    fn check(&self, file: &str) -> Result<(), RequestError> {
        let mut seen = BTreeSet::new();
        let machine = [RoleName::root(), RoleName::snapshot(), RoleName::timestamp()];
        for draft in &self.drafts {
            let what = match draft {
                _ if !seen.insert(&draft.role) => "twice",
                _ if machine.contains(&draft.role) => "which no request is for",
                _ if draft.signed.kind != Targets::TYPE => "as something else than targets metadata",
                _ => continue,
            };
            return Err(RequestError::Draft { file: file.into(), role: draft.role.to_string(), what });
        }
        Ok(())
    }

    /// The request's bytes.
    ///
    /// # Errors
    /// Never for one of this tool.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RequestError> {
        to_bytes(self)
    }

    /// SHA-256 of the bytes.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub(crate) fn digest(&self) -> Result<Digest, RequestError> {
        Ok(Digest::of(&self.to_bytes()?))
    }

    /// Signatures by every key at hand that may sign.
    ///
    /// # Errors
    /// None may.
    pub(crate) fn sign(&self, keyring: &Keyring) -> Result<Contribution, RequestError> {
        let mut signatures = BTreeMap::new();
        for draft in &self.drafts {
            let allowed: &[KeyId] = self.signers.get(&draft.role).map_or(&[], |keys| &keys.keyids);
            let made = keyring.sign(&draft.signed, allowed)?;
            if !made.is_empty() {
                signatures.insert(draft.role.clone(), made);
            }
        }
        if signatures.is_empty() && !self.drafts.is_empty() {
            return Err(RequestError::NoSigner);
        }
        Ok(Contribution { kind: CONTRIBUTION_KIND.into(), format: 1, request: self.digest()?, signatures })
    }

    /// The signed documents from everybody's signatures; a key that signed twice counts once.
    ///
    /// # Errors
    /// A contribution answers another request.
    pub(crate) fn assemble(
        &self,
        contributions: &[(String, Contribution)],
    ) -> Result<BTreeMap<RoleName, Vec<u8>>, RequestError> {
        let expected = self.digest()?;
        let mut documents = BTreeMap::new();
        for (file, contribution) in contributions {
            if contribution.request != expected {
                let (file, found) = (file.clone(), contribution.request);
                return Err(RequestError::Other { file, expected, found });
            }
        }
        for draft in &self.drafts {
            let all = contributions.iter().filter_map(|(_, made)| made.signatures.get(&draft.role)).flatten();
            let distinct: BTreeMap<_, _> = all.map(|signature| (signature.keyid.clone(), signature.clone())).collect();
            let raw = signed::assemble(&draft.signed, distinct.into_values().collect())?;
            documents.insert(draft.role.clone(), raw);
        }
        Ok(documents)
    }
}

impl Contribution {
    /// Reads a contribution.
    ///
    /// # Errors
    /// Not one.
    pub(crate) fn parse(file: &str, raw: &[u8]) -> Result<Self, RequestError> {
        let contribution: Self = parse(file, CONTRIBUTION_KIND, raw)?;
        expect(file, CONTRIBUTION_KIND, &contribution.kind, contribution.format)?;
        Ok(contribution)
    }

    /// The contribution's bytes.
    ///
    /// # Errors
    /// Never for one of this tool.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RequestError> {
        to_bytes(self)
    }
}

fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>, RequestError> {
    let mut bytes = signed::message(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(file: &str, expected: &'static str, raw: &[u8]) -> Result<T, RequestError> {
    let value = canonical::parse(raw).map_err(|source| RequestError::Json(file.into(), source))?;
    serde_json::from_value(value).map_err(|source| RequestError::Shape { file: file.into(), expected, source })
}

fn expect(file: &str, expected: &'static str, found: &str, format: u32) -> Result<(), RequestError> {
    if found == expected && format == 1 {
        return Ok(());
    }
    Err(RequestError::Kind { file: file.into(), expected, found: found.chars().take(80).collect(), format })
}
