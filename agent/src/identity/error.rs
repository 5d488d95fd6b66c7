//! What can go wrong with the device's keys.

use std::path::PathBuf;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::enrolment::EnrolmentError;
use thiserror::Error;

/// Why the device's keys cannot be used.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read a key.
    #[error("{path} has mode {mode:o}, expected 600")]
    Mode {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No PKCS#8 Ed25519 key.
    #[error("{0} holds no PKCS#8 Ed25519 key")]
    Malformed(PathBuf),
    /// The system gave no random numbers.
    #[error("no random numbers for a new key")]
    Random,
    /// What was to be signed cannot be written as canonical JSON.
    #[error("the document cannot be signed")]
    Document(#[from] casemate_protocol::canonical::JsonError),
    /// The request cannot be made.
    #[error("the request cannot be made")]
    Request(#[from] EnrolmentError),
    /// The certificate request in it cannot be made.
    #[error("the certificate request cannot be made")]
    CertificateRequest(#[from] rustls::Error),
}

impl Explain for IdentityError {
    fn code(&self) -> Code {
        match self {
            Self::File { .. } => Code::StateUnavailable,
            Self::Mode { .. } | Self::Malformed(_) => Code::StateDamaged,
            Self::Random | Self::Document(_) | Self::Request(_) | Self::CertificateRequest(_) => Code::Internal,
        }
    }
}
