//! Certificates and revocation lists, made and signed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::device::certificate_name::{CertificateKind, CertificateName};
use casemate_protocol::device::id::Jurisdiction;
use casemate_protocol::encoding;
use casemate_protocol::tuf::time::UtcTime;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;

use super::register::Register;
use super::{AuthorityError, Certificate, Crl};
use crate::exit::Failure;
use crate::signer::CertificateKey;

/// The authority's private key in the keys folder. Not `*.key`: those sign roles.
const KEY_FILE: &str = "certificate-authority.pem";
/// How long before it was made a certificate holds, seconds: clocks differ by hours where nobody sets them.
const BACKDATED_SECONDS: u64 = 86_400;
/// Longest revocation list appliances read, bytes (`device::transport`).
const MAX_CRL: usize = 16 * 1024;

/// Where the authority's private key is.
pub(crate) fn key_path(keys: &Path) -> PathBuf {
    keys.join(KEY_FILE)
}

/// An authority with its private key.
pub(crate) struct Issuer {
    /// Its certificate.
    pub(crate) authority: Certificate,
    issuer: rcgen::Issuer<'static, CertificateKey>,
}

/// What to certify.
#[derive(Clone, Debug)]
pub(crate) struct Wish<'a> {
    /// Who.
    pub(crate) name: &'a CertificateName,
    /// At which addresses it is a server.
    pub(crate) addresses: &'a [IpAddr],
    /// Until when.
    pub(crate) not_after: UtcTime,
}

impl Issuer {
    /// A new authority for `key`.
    ///
    /// # Errors
    /// Encoding fails.
    pub(crate) fn found(
        key: CertificateKey,
        jurisdiction: Jurisdiction,
        now: UtcTime,
        not_after: UtcTime,
    ) -> Result<Self, AuthorityError> {
        let serial = serial()?;
        let mut params = CertificateParams::default();
        params.not_before = moment(backdated(now));
        params.not_after = moment(not_after);
        // Lists and certificates name their issuer by this alone: no two authorities may have the same.
        let tag = encoding::to_hex(&serial[..4]);
        params.distinguished_name = common_name(&format!("Casemate {jurisdiction} authority {tag}"));
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let der = params.self_signed(&key)?.der().to_vec();
        let authority = Certificate::parse(&der).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        Ok(Self { authority, issuer: rcgen::Issuer::new(params, key) })
    }

    /// The authority of certificate `authority`, whose private key is in the folder `keys`.
    ///
    /// # Errors
    /// The key cannot be used, or is another authority's.
    pub(crate) fn open(authority: &Certificate, keys: &Path) -> Result<Self, Failure> {
        let path = key_path(keys);
        let key = CertificateKey::read(&path)?;
        if casemate_protocol::digest::Digest::of(&key.subject_public_key_info()) != authority.spki {
            return Err(AuthorityError::OtherKey(path).into());
        }
        let issuer = rcgen::Issuer::from_ca_cert_der(&authority.der.as_slice().into(), key);
        Ok(Self { authority: authority.clone(), issuer: issuer.map_err(AuthorityError::from)? })
    }

    /// A certificate for `key`.
    ///
    /// # Errors
    /// It would outlive the authority, or encoding fails.
    pub(crate) fn certificate(
        &self,
        key: &impl PublicKeyData,
        wish: &Wish<'_>,
        now: UtcTime,
    ) -> Result<Certificate, AuthorityError> {
        if wish.not_after > self.authority.not_after {
            return Err(AuthorityError::Outlives { until: wish.not_after, authority: self.authority.not_after });
        }
        let mut params = CertificateParams::default();
        params.not_before = moment(backdated(now).max(self.authority.not_before));
        params.not_after = moment(wish.not_after);
        params.distinguished_name = common_name(wish.name.id.as_str());
        params.serial_number = Some(SerialNumber::from_slice(&serial()?));
        params.subject_alt_names = vec![SanType::URI(wish.name.to_string().try_into()?)];
        params.subject_alt_names.extend(wish.addresses.iter().copied().map(SanType::IpAddress));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages(wish.name.kind);
        params.use_authority_key_identifier_extension = true;
        let der = params.signed_by(key, &self.issuer)?.der().to_vec();
        Ok(Certificate::parse(&der).ok_or(rcgen::Error::CouldNotParseCertificate)?)
    }

    /// The revocation list of `now`; the next one follows within `days`.
    ///
    /// # Errors
    /// It is longer than appliances read, or encoding fails.
    pub(crate) fn crl(
        &self,
        register: &Register,
        previous: Option<&Crl>,
        now: UtcTime,
        days: u32,
    ) -> Result<Crl, AuthorityError> {
        let revoked = register.revoked(now).map(|(entry, at)| {
            let serial = encoding::from_hex(&entry.serial).unwrap_or_default();
            RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: moment(at),
                reason_code: None,
                invalidity_date: None,
            }
        });
        let number = previous.map_or(0, |previous| previous.number + 1).max(now.unix());
        let params = CertificateRevocationListParams {
            this_update: moment(now),
            next_update: moment(now.plus_days(days.into())),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let der = params.signed_by(&self.issuer)?.der().to_vec();
        if der.len() > MAX_CRL {
            return Err(AuthorityError::CrlTooLong { found: der.len(), limit: MAX_CRL });
        }
        Ok(Crl::parse(&der).ok_or(rcgen::Error::CouldNotParseCertificate)?)
    }
}

fn usages(kind: CertificateKind) -> Vec<ExtendedKeyUsagePurpose> {
    match kind {
        // Appliances listen and connect; a service answers them and asks for their health.
        CertificateKind::Appliance | CertificateKind::Service => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        CertificateKind::Operator | CertificateKind::Publisher | CertificateKind::Auditor => {
            vec![ExtendedKeyUsagePurpose::ClientAuth]
        }
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn backdated(now: UtcTime) -> UtcTime {
    UtcTime::from_unix(now.unix().saturating_sub(BACKDATED_SECONDS))
}

fn moment(time: UtcTime) -> OffsetDateTime {
    date_time_ymd(1970, 1, 1) + Duration::from_secs(time.unix())
}

/// 126 random bits in 16 bytes: positive, and of one length whatever they are (RFC 5280 §4.1.2.2).
fn serial() -> Result<[u8; 16], AuthorityError> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| AuthorityError::Random)?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}
