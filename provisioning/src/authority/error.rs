//! Why a certificate is not issued, renewed or revoked.

use std::path::PathBuf;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::certificate_name::CertificateKind;
use casemate_protocol::device::id::{ApplianceId, Name};
use casemate_protocol::tuf::time::UtcTime;
use thiserror::Error;

/// Why a certificate is not issued, renewed or revoked.
#[derive(Debug, Error)]
pub(crate) enum AuthorityError {
    /// There is no authority.
    #[error("the site has no certificate authority: ca/authority.pem is absent")]
    Absent,
    /// There is one already.
    #[error("the site has a certificate authority already")]
    Exists,
    /// The private key is another authority's.
    #[error("{} is not the private key of ca/authority.pem", .0.display())]
    OtherKey(PathBuf),
    /// A certificate request proves nothing.
    #[error("{what} is no certificate request made with its own private key")]
    Request {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate request is for another key than the one enrolled.
    #[error("the certificate request of {0} is for another key than its enrolment")]
    RequestKey(String),
    /// A file holds no certificate, or no request.
    #[error("{} holds no {expected} in PEM or DER", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// No such appliance.
    #[error("no appliance {0} is enrolled at this site")]
    Unknown(ApplianceId),
    /// Nobody has compared its words.
    #[error("{0} is enrolled, but nobody has confirmed its words")]
    Pending(ApplianceId),
    /// The appliance was enrolled without a certificate request.
    #[error("{0} was enrolled without a certificate request")]
    NoRequest(ApplianceId),
    /// Nothing to renew or revoke.
    #[error("{kind} {id} holds no certificate of this site")]
    NotIssued {
        /// What.
        kind: CertificateKind,
        /// Who.
        id: Name,
    },
    /// The serial number is not that of a certificate of this holder.
    #[error("no certificate of {kind} {id} has the serial number {serial}")]
    Serial {
        /// What.
        kind: CertificateKind,
        /// Who.
        id: Name,
        /// As given.
        serial: String,
    },
    /// It was revoked.
    #[error("the certificate of {kind} {id} was revoked on {at}")]
    Revoked {
        /// What.
        kind: CertificateKind,
        /// Who.
        id: Name,
        /// When.
        at: UtcTime,
    },
    /// Its key had a certificate that was revoked.
    #[error("a certificate for this very key was revoked on {at} (serial number {serial})")]
    KeyRevoked {
        /// When.
        at: UtcTime,
        /// Which.
        serial: String,
    },
    /// The key has a certificate under another name.
    #[error("this key has a certificate already, as {kind} {id}")]
    KeyShared {
        /// What.
        kind: CertificateKind,
        /// Who.
        id: Name,
    },
    /// Somebody else's name.
    #[error("{kind} {id} holds a certificate for another key, until {until}")]
    Taken {
        /// What.
        kind: CertificateKind,
        /// Who.
        id: Name,
        /// How long.
        until: UtcTime,
    },
    /// It would outlive the authority.
    #[error("a certificate until {until} would outlive the authority, which expires {authority}")]
    Outlives {
        /// The certificate.
        until: UtcTime,
        /// The authority.
        authority: UtcTime,
    },
    /// Options that do not fit what is issued.
    #[error("{0}")]
    Options(&'static str),
    /// More revoked certificates than appliances read.
    #[error("the revocation list would have {found} bytes, appliances read {limit}")]
    CrlTooLong {
        /// It would have.
        found: usize,
        /// At most.
        limit: usize,
    },
    /// Encoding or signing failed.
    #[error("the certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// No randomness.
    #[error("the system's random generator failed")]
    Random,
}

impl Explain for AuthorityError {
    fn code(&self) -> Code {
        match self {
            Self::Absent | Self::OtherKey(_) | Self::CrlTooLong { .. } => Code::AuthorityInvalid,
            Self::Exists | Self::Taken { .. } => Code::Exists,
            Self::Request { .. } | Self::RequestKey(_) | Self::Content { .. } => Code::KeyInvalid,
            Self::Unknown(_) => Code::UnknownAppliance,
            Self::NotIssued { .. } | Self::Serial { .. } => Code::NotFound,
            Self::Pending(_) | Self::NoRequest(_) | Self::Outlives { .. } | Self::Options(_) => Code::UsageInvalid,
            Self::Revoked { .. } | Self::KeyRevoked { .. } | Self::KeyShared { .. } => Code::CertificateRefused,
            Self::Make(_) | Self::Random => Code::Internal,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Absent => "Make one with `casemate ca init`.".into(),
            Self::Content { .. } => "Name a file that holds one; the site's own certificates stand in ca/certificates/.".into(),
            Self::Exists => "Use it; docs/certificates.md says how to change to another authority.".into(),
            Self::OtherKey(_) => "Say where the authority's private key is: --keys DIR.".into(),
            Self::Request { .. } => "Make the request anew, with the key it is for.".into(),
            Self::RequestKey(_) => "Fetch a new enrolment request from the appliance.".into(),
            Self::Unknown(_) => "Enrol it first: `casemate appliance enrol`.".into(),
            Self::Pending(id) => format!("Compare the words, then run `casemate appliance confirm {id} --words …`."),
            Self::NoRequest(id) => format!(
                "Fetch a new request with a newer program (`casemate-agent enrol request`) and run `casemate appliance enrol` with --id {id}; an appliance that is enrolled already gives none and has to be enrolled anew."
            ),
            Self::NotIssued { kind, id } => format!("Issue one: `casemate ca issue {kind} {id}`; see `casemate ca list`."),
            Self::Serial { .. } => "Run `casemate ca list --all` to see the serial numbers.".into(),
            Self::Revoked { kind, .. } if *kind == CertificateKind::Appliance => {
                "If its key may be trusted, issue another one with `casemate ca issue` and --even-if-revoked; else enrol the appliance anew.".into()
            }
            Self::Revoked { .. } => "Issue another one for a new key: `casemate ca issue`.".into(),
            Self::KeyRevoked { .. } => "Make a new key. If this one may be trusted after all, say --even-if-revoked.".into(),
            Self::KeyShared { kind, id } => {
                format!("Make a key for each holder; if this is the same one under a new name, run `casemate ca revoke {kind} {id}` and say --even-if-revoked.")
            }
            Self::Taken { kind, id, .. } => {
                format!("Revoke it (`casemate ca revoke {kind} {id}`), or say --another-key to have both for a time.")
            }
            Self::Outlives { .. } => "Say fewer --days, or change to a new authority (docs/certificates.md).".into(),
            Self::CrlTooLong { .. } => "Change to a new authority (docs/certificates.md); fewer lives are needed then.".into(),
            other => other.code().remedy().into(),
        }
    }
}
