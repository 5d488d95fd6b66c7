//! What a certificate says.

use std::net::IpAddr;

use casemate_protocol::device::certificate_name::CertificateName;
use casemate_protocol::digest::Digest;
use casemate_protocol::encoding;
use casemate_protocol::tuf::time::UtcTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// A certificate, read. Whether anybody should believe it is another question: [`Self::is_signed_by`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The whole of it.
    pub(crate) der: Vec<u8>,
    /// Serial number, hexadecimal.
    pub(crate) serial: String,
    /// The one name `casemate://…` in it.
    pub(crate) name: Option<CertificateName>,
    /// SHA-256 of the SubjectPublicKeyInfo: what a boundary pins.
    pub(crate) spki: Digest,
    /// At which addresses its holder is a server.
    pub(crate) addresses: Vec<IpAddr>,
    /// From when on it holds.
    pub(crate) not_before: UtcTime,
    /// Until when it holds.
    pub(crate) not_after: UtcTime,
    /// Whether it may sign certificates and revocation lists.
    pub(crate) is_authority: bool,
    /// Its subject, DER.
    pub(crate) subject: Vec<u8>,
    /// Its issuer's subject, DER.
    pub(crate) issuer: Vec<u8>,
}

impl Certificate {
    /// Reads DER; `None` if that is no certificate.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let (rest, found) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let constraints = found.basic_constraints().ok()?;
        let usage = found.key_usage().ok()?;
        let signs = usage.is_none_or(|usage| usage.value.key_cert_sign() && usage.value.crl_sign());
        Some(Self {
            der: der.to_vec(),
            serial: serial(found.raw_serial()),
            name: name(&found),
            spki: Digest::of(found.public_key().raw),
            addresses: addresses(&found),
            not_before: time(found.validity().not_before),
            not_after: time(found.validity().not_after),
            is_authority: constraints.is_some_and(|constraints| constraints.value.ca) && signs,
            subject: found.subject().as_raw().to_vec(),
            issuer: found.issuer().as_raw().to_vec(),
        })
    }

    /// The key it is for; none if that is of a kind nobody issues certificates for.
    pub(crate) fn public_key(&self) -> Option<rcgen::SubjectPublicKeyInfo> {
        let (_, found) = X509Certificate::from_der(&self.der).ok()?;
        rcgen::SubjectPublicKeyInfo::from_der(found.public_key().raw).ok()
    }

    /// Whether `issuer` is named as its issuer and has signed it.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Ok((_, found)), Ok((_, by))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        self.issuer == issuer.subject && found.verify_signature(Some(by.public_key())).is_ok()
    }
}

/// The name of a certificate: exactly one URI, and one of ours.
fn name(certificate: &X509Certificate<'_>) -> Option<CertificateName> {
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse().ok(),
        _ => None,
    }
}

fn addresses(certificate: &X509Certificate<'_>) -> Vec<IpAddr> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let addresses = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
        },
        _ => None,
    });
    addresses.collect()
}

/// A serial number as it is written everywhere: hexadecimal, without the sign's zero byte.
pub(super) fn serial(raw: &[u8]) -> String {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count().min(raw.len().saturating_sub(1));
    encoding::to_hex(&raw[zeros..])
}

/// A time of X.509; before 1970 is 1970.
pub(super) fn time(time: ASN1Time) -> UtcTime {
    UtcTime::from_unix(u64::try_from(time.timestamp()).unwrap_or(0))
}
