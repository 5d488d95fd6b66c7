//! Who may come in: a certificate of a signed authority, within its dates, not revoked, that names somebody of this
//! jurisdiction.

use std::sync::Arc;

use casemate_protocol::device::certificate_name::{CertificateKind, CertificateName};
use casemate_protocol::device::id::Jurisdiction;
use casemate_protocol::tuf::time::UtcTime;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};
use thiserror::Error as ThisError;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::credentials::{Credentials, provider};
use super::error::TlsError;
use super::revocation::Revoked;

/// Longest chain somebody may show, bytes: it is kept while the connection is open, to be judged again.
const MAX_CHAIN: usize = 16 * 1024;

/// Why somebody may not come in.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum NotAdmitted {
    /// The certificate cannot be read.
    #[error("the certificate is not well-formed")]
    Malformed,
    /// The chain is too long.
    #[error("the certificates have more than {MAX_CHAIN} bytes")]
    TooLong,
    /// It names nobody here.
    #[error("the certificate does not have exactly one name such as casemate://LU/operator/ops-1")]
    Name,
    /// It is of another country.
    #[error("the certificate is of {found}, this appliance of {ours}")]
    Jurisdiction {
        /// The certificate's.
        found: Jurisdiction,
        /// The appliance's.
        ours: Jurisdiction,
    },
    /// Appliances do not ask each other anything.
    #[error("the certificate is an appliance's")]
    Appliance,
    /// It is on a signed list.
    #[error("the certificate is revoked")]
    Revoked,
    /// It is too early or too late for it.
    #[error("the certificate is not within its dates")]
    Dates,
    /// No signed authority has issued it, or not for this.
    #[error("the certificate is of no authority signed for this appliance, or not for clients")]
    Authority,
    /// None was shown.
    #[error("no certificate was shown")]
    Nobody,
}

impl NotAdmitted {
    /// One hyphenated word, for the log.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too-long",
            Self::Name => "name",
            Self::Jurisdiction { .. } => "jurisdiction",
            Self::Appliance => "appliance",
            Self::Revoked => "revoked",
            Self::Dates => "dates",
            Self::Authority => "authority",
            Self::Nobody => "no-certificate",
        }
    }

    /// What a failed handshake says about the certificate, if it is about that.
    pub(super) fn find(error: &Error) -> Option<Self> {
        match error {
            Error::NoCertificatesPresented => Some(Self::Nobody),
            Error::InvalidCertificate(error) => Some(Self::of(error)),
            Error::InvalidCertRevocationList(_) => Some(Self::Authority),
            _ => None,
        }
    }

    fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::Other(OtherError(why)) => why.downcast_ref::<Self>().cloned().unwrap_or(Self::Authority),
            CertificateError::BadEncoding => Self::Malformed,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Dates,
            _ => Self::Authority,
        }
    }
}

impl From<NotAdmitted> for Error {
    fn from(why: NotAdmitted) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
    }
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who.
    pub name: CertificateName,
    /// When the certificate ends.
    pub until: UtcTime,
    chain: Vec<CertificateDer<'static>>,
}

/// Judges who comes in.
#[derive(Debug)]
pub(super) struct Admission {
    webpki: Arc<dyn ClientCertVerifier>,
    revoked: Revoked,
    ours: Jurisdiction,
}

impl Admission {
    /// # Errors
    /// No authority is signed, or one of the signed certificates or lists cannot be used.
    pub(super) fn new(credentials: &Credentials) -> Result<Self, TlsError> {
        let material = &credentials.material;
        if material.anchors.is_empty() {
            return Err(TlsError::NoAnchor);
        }
        let mut roots = RootCertStore::empty();
        for anchor in &material.anchors {
            let added = roots.add(CertificateDer::from(anchor.as_slice()));
            added.map_err(|_| TlsError::Malformed { what: "authorities" })?;
        }
        let lists = material.crls.iter().map(|der| CertificateRevocationListDer::from(der.clone()));
        // Three choices that rustls would make otherwise or silently: authorities themselves are replaced, not revoked;
        // whom no list speaks of is not revoked; and what an old list revokes stays revoked (`crl-stale` says that it
        // is old).
        let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls(lists)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            // Names of authorities are nobody's business who has no certificate of theirs.
            .clear_root_hint_subjects()
            .build()
            .map_err(|source| TlsError::Verifier { source })?;
        Ok(Self { webpki, revoked: Revoked::read(&material.crls)?, ours: credentials.jurisdiction })
    }

    /// Judges somebody who is inside already.
    pub(super) fn judge_again(&self, admitted: &Admitted, now: UtcTime) -> Result<(), NotAdmitted> {
        let (end_entity, intermediates) = admitted.chain.split_first().ok_or(NotAdmitted::Nobody)?;
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.unix()));
        let judged = self.verify_client_cert(end_entity, intermediates, at);
        judged.map(drop).map_err(|error| NotAdmitted::find(&error).unwrap_or(NotAdmitted::Authority))
    }

    /// Who shows `chain`, end entity first, which a handshake has just judged: signatures are not looked at again.
    pub(super) fn read(&self, chain: &[CertificateDer<'_>]) -> Result<Admitted, NotAdmitted> {
        if chain.iter().map(|der| der.len()).sum::<usize>() > MAX_CHAIN {
            return Err(NotAdmitted::TooLong);
        }
        let end_entity = chain.first().ok_or(NotAdmitted::Nobody)?;
        let (_, certificate) = X509Certificate::from_der(end_entity).map_err(|_| NotAdmitted::Malformed)?;
        if self.revoked.contains(&certificate) {
            return Err(NotAdmitted::Revoked);
        }
        let name = name(&certificate).ok_or(NotAdmitted::Name)?;
        if name.jurisdiction != self.ours {
            return Err(NotAdmitted::Jurisdiction { found: name.jurisdiction, ours: self.ours });
        }
        if name.kind == CertificateKind::Appliance {
            return Err(NotAdmitted::Appliance);
        }
        let until = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        Ok(Admitted { name, until: UtcTime::from_unix(until), chain })
    }
}

/// The one URI among the names of a certificate, if it is one of ours.
fn name(certificate: &X509Certificate<'_>) -> Option<CertificateName> {
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(text) => Some(*text),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else { return None };
    uri.parse().ok()
}

impl ClientCertVerifier for Admission {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.webpki.verify_client_cert(end_entity, intermediates, now)?;
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.read(&chain)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
