//! Which certificates are revoked: issuer and serial number, from the signed lists.

use std::collections::BTreeSet;

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::error::TlsError;

/// Who is revoked by whom. How old a list is, is of no concern here: what it revokes stays revoked.
///
/// The lists' own signatures are not looked at: they are part of a signed assignment.
#[derive(Clone, Debug, Default)]
pub(super) struct Revoked(BTreeSet<(Vec<u8>, Vec<u8>)>);

impl Revoked {
    /// What `lists` (DER) revoke.
    ///
    /// # Errors
    /// One is not well-formed.
    pub(super) fn read(lists: &[Vec<u8>]) -> Result<Self, TlsError> {
        let mut revoked = BTreeSet::new();
        for der in lists {
            let (_, list) = CertificateRevocationList::from_der(der)
                .ok()
                .filter(|(rest, _)| rest.is_empty())
                .ok_or(TlsError::Malformed { what: "revocation lists" })?;
            let issuer = list.issuer().as_raw();
            let entries = list.iter_revoked_certificates();
            revoked.extend(entries.map(|entry| (issuer.to_vec(), shortest(entry.raw_serial()))));
        }
        Ok(Self(revoked))
    }

    /// Whether `certificate` is among them.
    pub(super) fn contains(&self, certificate: &X509Certificate<'_>) -> bool {
        // An empty set needs no copy of the names.
        !self.0.is_empty()
            && self.0.contains(&(certificate.issuer().as_raw().to_vec(), shortest(certificate.raw_serial())))
    }
}

/// A number without leading zeros.
fn shortest(serial: &[u8]) -> Vec<u8> {
    serial.iter().copied().skip_while(|byte| *byte == 0).collect()
}
