//! What this appliance shows, and what it holds others to.

use std::sync::Arc;

use casemate_protocol::device::id::{ApplianceId, Jurisdiction, Name};
use casemate_protocol::device::transport::{TransportMaterial, TransportSettings};
use casemate_protocol::tuf::time::UtcTime;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};

use super::admission::Admission;
use super::error::TlsError;
use super::revocation::Revoked;
use super::signed_time::SignedTime;
use crate::clock::WallClock;

/// What connections are made with. A bundle that brings another certificate, authority or revocation list makes another
/// one; connections made from then on use it.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Whose they are.
    pub appliance: ApplianceId,
    /// Whose law governs it: certificates of another jurisdiction open nothing.
    pub jurisdiction: Jurisdiction,
    /// The groups it belongs to.
    pub groups: Vec<Name>,
    /// The settings as they count: as signed, with no revocation list older than one that came before.
    pub settings: TransportSettings,
    /// The certificates among them.
    pub material: TransportMaterial,
    /// What signs handshakes.
    pub key: Arc<dyn SigningKey>,
    /// The machine's clock, never believed by itself.
    pub clock: WallClock,
    /// The newest signed time this appliance has accepted: what the clock is judged against. It moves on by itself.
    pub signed_at: SignedTime,
}

impl Credentials {
    /// The time dates in certificates are judged at.
    #[must_use]
    pub fn now(&self) -> UtcTime {
        self.clock.read().judge(self.signed_at.get()).now
    }

    /// Whether connections made with `other` would be the same. Time passes for both.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.settings, &self.groups) == (&other.settings, &other.groups)
    }

    /// Whether connections can be made with these at all.
    ///
    /// # Errors
    /// The appliance has no certificate yet, or it is for another key; an authority or a revocation list cannot be read.
    pub fn check(&self) -> Result<(), TlsError> {
        self.certified()?;
        if self.material.anchors.is_empty() {
            return Revoked::read(&self.material.crls).map(drop);
        }
        Admission::new(self).map(drop)
    }

    /// The appliance's certificate with its key.
    ///
    /// # Errors
    /// It has none yet, or it is for another key.
    pub(super) fn certified(&self) -> Result<CertifiedKey, TlsError> {
        if self.material.certificate.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let chain = self.material.certificate.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let certified = CertifiedKey::new(chain, self.key.clone());
        certified.keys_match().map_err(|source| TlsError::Certificate { source })?;
        Ok(certified)
    }
}

/// The one provider of cryptography, always named: what a process has installed by default does not count.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    const YEAR: u64 = 31_536_000;

    fn credentials(signed_at: SignedTime) -> Credentials {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::create(&folder.path().join("identity")).unwrap();
        let wall = UtcTime::from_unix(YEAR);
        Credentials {
            appliance: "lux-001".parse().unwrap(),
            jurisdiction: "LU".parse().unwrap(),
            groups: Vec::new(),
            settings: TransportSettings::default(),
            material: TransportMaterial::default(),
            key: identity.tls_key(),
            clock: WallClock::new(move || wall, UtcTime::from_unix(0)),
            signed_at,
        }
    }

    #[test]
    fn a_newer_signed_time_moves_dates_on_and_makes_no_other_credentials() {
        let time = SignedTime::default();
        let (told, made) = (credentials(time.clone()), credentials(time.clone()));
        let before = told.now();
        let signed = UtcTime::from_unix(before.unix() + 50 * YEAR);
        time.set(Some(signed));
        assert!(told.is_same(&made));
        assert!(before < signed && told.now() >= signed, "{:?}", told.now());
    }

    #[test]
    fn other_settings_or_groups_make_other_credentials() {
        let told = credentials(SignedTime::default());
        let settings = TransportSettings { poll_seconds: told.settings.poll_seconds + 1, ..told.settings.clone() };
        assert!(!told.is_same(&Credentials { settings, ..told.clone() }));
        assert!(!told.is_same(&Credentials { groups: vec!["labs".parse().unwrap()], ..told.clone() }));
    }
}
