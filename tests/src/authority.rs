//! Certificates of a sample site, made in memory: an authority, what it issues and what it revokes.
//!
//! ```
//! use casemate_tests::authority::{Authority, Wish};
//!
//! let authority = Authority::new();
//! let appliance = authority.issue(&Wish::of("casemate://LU/appliance/lux-001"));
//! let expired = authority.issue(&Wish { days: -3..-1, ..Wish::of("casemate://LU/operator/ops-1") });
//! let material = authority.material(&appliance, &[&expired]);
//! assert_eq!((material.certificate.len(), material.anchors.len(), material.crls.len()), (1, 1, 1));
//! ```

use std::fs;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use casemate_protocol::device::transport::TransportMaterial;
use casemate_protocol::digest::Digest;
use casemate_protocol::encoding;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};
use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;

const DAY: u64 = 86_400;

/// A signature algorithm of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519.
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    P256,
}

impl Algorithm {
    fn pair(self) -> KeyPair {
        match self {
            Self::Ed25519 => {
                let mut seed = [0; 32];
                SystemRandom::new().fill(&mut seed).unwrap();
                // Version 1 (RFC 8410 §7): OpenSSL, and so nginx and Mosquitto, cannot read the version 2 ring writes.
                let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
                KeyPair::try_from([&head[..], &seed].concat()).unwrap()
            }
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        }
    }
}

/// Whose key a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A new key, which the [`Holder`] holds.
    New(Algorithm),
    /// This private key: PKCS#8 in DER.
    Private(Vec<u8>),
    /// The private key of this public one (SubjectPublicKeyInfo in DER) is elsewhere.
    Public(Vec<u8>),
}

/// What to issue.
#[derive(Clone, Debug)]
pub struct Wish {
    /// URI among the subject alternative names; none if empty.
    pub uri: String,
    /// Addresses among the subject alternative names.
    pub addresses: Vec<IpAddr>,
    /// DNS names among the subject alternative names.
    pub names: Vec<String>,
    /// Validity, days from [`Authority::now`].
    pub days: Range<i64>,
    /// Whose key.
    pub subject: Subject,
    /// Whether it is an authority itself.
    pub authority: bool,
    /// URLs a reader might be tempted to fetch a revocation list from.
    pub crl_urls: Vec<String>,
}

impl Wish {
    /// A certificate for `uri` with a new Ed25519 key, valid from yesterday for two years.
    #[must_use]
    pub fn of(uri: &str) -> Self {
        Self {
            uri: uri.into(),
            addresses: Vec::new(),
            names: Vec::new(),
            days: -1..760,
            subject: Subject::New(Algorithm::Ed25519),
            authority: false,
            crl_urls: Vec::new(),
        }
    }

    /// A server at `address`, such as a repository.
    #[must_use]
    pub fn service(id: &str, address: &str) -> Self {
        Self { addresses: vec![address.parse().unwrap()], ..Self::of(&format!("casemate://LU/service/{id}")) }
    }
}

/// Who holds a certificate.
#[derive(Clone, Debug)]
pub struct Holder {
    /// DER.
    pub certificate: Vec<u8>,
    /// Private key, PKCS#8 in DER; empty if it is elsewhere.
    pub key: Vec<u8>,
    /// SubjectPublicKeyInfo in DER.
    pub public: Vec<u8>,
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
}

/// Where [`Holder::write`] has put its files.
#[derive(Clone, Debug)]
pub struct Files {
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM, mode 0600.
    pub key: PathBuf,
}

impl Holder {
    /// What a boundary pins: SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn pin(&self) -> Digest {
        Digest::of(&self.public)
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The private key in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// Writes `<name>.pem` and `<name>.key.pem` into `folder`.
    ///
    /// # Panics
    /// The folder cannot be written.
    #[must_use]
    pub fn write(&self, folder: &Path, name: &str) -> Files {
        use std::os::unix::fs::PermissionsExt;
        let files =
            Files { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key.pem")) };
        fs::write(&files.certificate, self.certificate_pem()).unwrap();
        fs::write(&files.key, self.key_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    now: u64,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An Ed25519 authority; now is now.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Algorithm::Ed25519, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    /// An authority whose certificates count their days from `now`, seconds since 1970.
    ///
    /// # Panics
    /// Before 1971.
    #[must_use]
    pub fn with(algorithm: Algorithm, now: u64) -> Self {
        let key = algorithm.pair();
        let mut params = CertificateParams::default();
        params.not_before = time(now, -400);
        params.not_after = time(now, 3650);
        params.serial_number = Some(SerialNumber::from(serial()));
        params.distinguished_name = common_name("casemate sample authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self { certificate, issuer: Issuer::new(params, key), now }
    }

    /// Its certificate, DER.
    #[must_use]
    pub fn anchor(&self) -> &[u8] {
        &self.certificate
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn anchor_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// From when days are counted, seconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Issues what is wished.
    ///
    /// # Panics
    /// A name or key is malformed.
    #[must_use]
    pub fn issue(&self, wish: &Wish) -> Holder {
        let serial = serial();
        let params = self.params(wish, &serial);
        let pair = match &wish.subject {
            Subject::New(algorithm) => algorithm.pair(),
            Subject::Private(pkcs8) => KeyPair::try_from(pkcs8.as_slice()).unwrap(),
            Subject::Public(public) => {
                let key = SubjectPublicKeyInfo::from_der(public).unwrap();
                let certificate = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
                return Holder { certificate, key: Vec::new(), public: public.clone(), serial };
            }
        };
        let certificate = params.signed_by(&pair, &self.issuer).unwrap().der().to_vec();
        Holder { certificate, key: pair.serialize_der(), public: pair.subject_public_key_info(), serial }
    }

    fn params(&self, wish: &Wish, serial: &[u8]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.not_before = time(self.now, wish.days.start);
        params.not_after = time(self.now, wish.days.end);
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.distinguished_name = common_name(wish.uri.rsplit('/').next().unwrap());
        let uri = (!wish.uri.is_empty()).then(|| SanType::URI(wish.uri.clone().try_into().unwrap()));
        params.subject_alt_names = uri.into_iter().collect();
        params.subject_alt_names.extend(wish.addresses.iter().map(|address| SanType::IpAddress(*address)));
        let name = |name: &String| SanType::DnsName(name.clone().try_into().unwrap());
        params.subject_alt_names.extend(wish.names.iter().map(name));
        params.use_authority_key_identifier_extension = true;
        let urls = |url: &String| rcgen::CrlDistributionPoint { uris: vec![url.clone()] };
        params.crl_distribution_points = wish.crl_urls.iter().map(urls).collect();
        if wish.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        } else {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        }
        params
    }

    /// An authority under this one: `certificate` of the answer's holders is followed by [`Authority::anchor`] of it.
    ///
    /// # Panics
    /// Never in practice.
    #[must_use]
    pub fn subordinate(&self) -> Self {
        let wish = Wish { authority: true, ..Wish::of("casemate://LU/service/authority") };
        let holder = self.issue(&wish);
        let key = KeyPair::try_from(holder.key.as_slice()).unwrap();
        let issuer = Issuer::from_ca_cert_der(&holder.certificate.as_slice().into(), key).unwrap();
        Self { certificate: holder.certificate, issuer, now: self.now }
    }

    /// A revocation list of `revoked`, written `age` days before now and good for `days`: DER.
    ///
    /// # Panics
    /// Never in practice.
    #[must_use]
    pub fn crl_lasting(&self, revoked: &[&Holder], age: i64, days: i64) -> Vec<u8> {
        let revoke = |holder: &&Holder| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&holder.serial),
            revocation_time: time(self.now, -age),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: time(self.now, -age),
            next_update: time(self.now, days - age),
            crl_number: SerialNumber::from(self.now),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(revoke).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().der().to_vec()
    }

    /// [`Self::crl_lasting`] for 90 days.
    #[must_use]
    pub fn crl_aged(&self, revoked: &[&Holder], age: i64) -> Vec<u8> {
        self.crl_lasting(revoked, age, 90)
    }

    /// [`Self::crl_aged`] of today.
    #[must_use]
    pub fn crl(&self, revoked: &[&Holder]) -> Vec<u8> {
        self.crl_aged(revoked, 0)
    }

    /// A revocation list in PEM.
    #[must_use]
    pub fn crl_pem(&self, revoked: &[&Holder]) -> String {
        pem("X509 CRL", &self.crl(revoked))
    }

    /// What `appliance`'s assignment carries: its certificate, this anchor, a list of `revoked`.
    #[must_use]
    pub fn material(&self, appliance: &Holder, revoked: &[&Holder]) -> TransportMaterial {
        TransportMaterial {
            certificate: vec![appliance.certificate.clone()],
            anchors: vec![self.certificate.clone()],
            crls: vec![self.crl(revoked)],
        }
    }
}

/// DER as PEM (RFC 7468).
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = encoding::to_base64(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 §4), DER.
#[must_use]
pub fn ed25519_spki(public: &[u8; 32]) -> Vec<u8> {
    [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], public].concat()
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// 128 random bits, positive.
fn serial() -> Vec<u8> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).unwrap();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial.to_vec()
}

/// `days` from `now`.
fn time(now: u64, days: i64) -> OffsetDateTime {
    let moved = Duration::from_secs(days.unsigned_abs() * DAY);
    let start = date_time_ymd(1970, 1, 1) + Duration::from_secs(now);
    if days < 0 { start - moved } else { start + moved }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_for_a_public_key_is_the_same_as_for_its_private_one() {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let authority = Authority::with(algorithm, 1_772_366_400);
            let wish = Wish { subject: Subject::New(algorithm), ..Wish::service("mirror", "10.20.0.5") };
            let holder = authority.issue(&wish);
            let public = authority.issue(&Wish { subject: Subject::Public(holder.public.clone()), ..wish.clone() });
            let private = authority.issue(&Wish { subject: Subject::Private(holder.key.clone()), ..wish });
            assert_eq!((public.pin(), private.pin()), (holder.pin(), holder.pin()));
        }
    }
}
