//! What a revocation list says.

use std::collections::BTreeSet;

use casemate_protocol::tuf::time::UtcTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::certificate::{Certificate, serial, time};

/// A revocation list, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crl {
    /// The whole of it.
    pub(crate) der: Vec<u8>,
    /// Its issuer's subject, DER.
    pub(crate) issuer: Vec<u8>,
    /// When it was written.
    pub(crate) this_update: UtcTime,
    /// When the next one should be there.
    pub(crate) next_update: Option<UtcTime>,
    /// Its number; a later list has a higher one.
    pub(crate) number: u64,
    /// Serial numbers of what is revoked, hexadecimal.
    pub(crate) serials: BTreeSet<String>,
}

impl Crl {
    /// Reads DER; `None` if that is no revocation list.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let (rest, found) = CertificateRevocationList::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let number = found.crl_number().and_then(|number| number.to_string().parse().ok());
        Some(Self {
            der: der.to_vec(),
            issuer: found.issuer().as_raw().to_vec(),
            this_update: time(found.last_update()),
            next_update: found.next_update().map(time),
            number: number.unwrap_or(0),
            serials: found.iter_revoked_certificates().map(|entry| serial(entry.raw_serial())).collect(),
        })
    }

    /// Whether `issuer` is named as its issuer and has signed it.
    pub(crate) fn is_signed_by(&self, issuer: &Certificate) -> bool {
        let (Ok((_, found)), Ok((_, by))) =
            (CertificateRevocationList::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        self.issuer == issuer.subject && found.verify_signature(by.public_key()).is_ok()
    }

    /// Whether appliances that allow `max_age_days` would call it stale at `now`.
    pub(crate) fn is_stale(&self, now: UtcTime, max_age_days: u32) -> bool {
        now > self.this_update.plus_days(max_age_days.into()) || self.next_update.is_some_and(|next| now > next)
    }
}
