//! How long what connections are made with still holds. Nothing waits on it: a stick brings the next one.

use std::collections::BTreeSet;

use casemate_protocol::code::Code;
use casemate_protocol::device::transport::TransportSettings;
use casemate_protocol::evidence::health::CertificatesHealth;
use casemate_protocol::tuf::time::UtcTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

/// Days before its own certificate ends from which on an appliance says so.
const EXPIRY_NOTICE_DAYS: i64 = 30;
const DAY_SECONDS: i64 = 86_400;

/// When certificate and revocation lists end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dates {
    certificate: Option<UtcTime>,
    lists: Option<UtcTime>,
}

impl Dates {
    /// Those of `settings`. What cannot be read has none; whoever uses it says that.
    #[must_use]
    pub fn of(settings: &TransportSettings) -> Self {
        let material = settings.material().unwrap_or_default();
        let certificate = material.certificate.first().and_then(|der| Some(X509Certificate::from_der(der).ok()?.1));
        let stale_at = |der: &Vec<u8>| {
            let (_, list) = CertificateRevocationList::from_der(der).ok()?;
            let aged = time(list.last_update()).plus_days(settings.crl_max_age_days.into());
            Some(list.next_update().map_or(aged, |next| time(next).min(aged)))
        };
        Self {
            certificate: certificate.map(|certificate| time(certificate.validity().not_after)),
            lists: material.crls.iter().filter_map(stale_at).min(),
        }
    }

    /// How they stand at `now`.
    #[must_use]
    pub fn health(&self, now: UtcTime) -> CertificatesHealth {
        let left = |end: UtcTime| {
            let seconds = |time: UtcTime| i64::try_from(time.unix()).unwrap_or(i64::MAX);
            (seconds(end) - seconds(now)).div_euclid(DAY_SECONDS)
        };
        CertificatesHealth { certificate_days: self.certificate.map(left), crl_days: self.lists.map(left) }
    }
}

/// What is lacking there.
pub(super) fn lacks(health: &CertificatesHealth) -> BTreeSet<Code> {
    let expiring = health.certificate_days.is_some_and(|days| days < EXPIRY_NOTICE_DAYS);
    let stale = health.crl_days.is_some_and(|days| days < 0);
    let signs = [(expiring, Code::CertificateExpired), (stale, Code::CrlStale)];
    signs.into_iter().filter(|(present, _)| *present).map(|(_, code)| code).collect()
}

fn time(time: ASN1Time) -> UtcTime {
    UtcTime::from_unix(u64::try_from(time.timestamp()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u64) -> UtcTime {
        UtcTime::from_unix(1_800_000_000).plus_days(day)
    }

    fn lacking(dates: &Dates, now: UtcTime) -> Vec<Code> {
        lacks(&dates.health(now)).into_iter().collect()
    }

    #[test]
    fn an_end_is_told_thirty_days_before_it_and_ever_after() {
        let dates = Dates { certificate: Some(at(100)), lists: None };
        assert_eq!(dates.health(at(70)), CertificatesHealth { certificate_days: Some(30), crl_days: None });
        assert!(lacking(&dates, at(70)).is_empty());
        for (now, days) in [(at(70).plus(1), 29), (at(100), 0), (at(100).plus(1), -1), (at(900), -800)] {
            assert_eq!(dates.health(now).certificate_days, Some(days));
            assert_eq!(lacking(&dates, now), [Code::CertificateExpired]);
        }
    }

    #[test]
    fn a_list_is_stale_from_its_day_on_and_not_before() {
        let dates = Dates { certificate: None, lists: Some(at(90)) };
        assert!(lacking(&dates, at(90)).is_empty());
        assert_eq!(lacking(&dates, at(90).plus(1)), [Code::CrlStale]);
    }

    #[test]
    fn without_certificates_there_is_nothing_to_say() {
        let nonsense =
            TransportSettings { certificate: vec!["AAAA".into()], crls: vec!["AAAA".into()], ..Default::default() };
        for settings in [TransportSettings::default(), nonsense] {
            assert_eq!(Dates::of(&settings), Dates::default());
            assert!(lacking(&Dates::of(&settings), at(9999)).is_empty());
        }
    }
}
