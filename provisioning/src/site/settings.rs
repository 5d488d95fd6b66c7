//! `site.toml`: what holds for the whole site.

use std::collections::BTreeMap;

use casemate_protocol::device::certificate_name::CertificateKind;
use casemate_protocol::device::id::Jurisdiction;
use casemate_protocol::device::transport::{DEFAULT_CRL_MAX_AGE_DAYS, DEFAULT_POLL_SECONDS};
use casemate_protocol::tuf::root::PersonToken;
use serde::Deserialize;
use toml::Spanned;

use super::finding::{Finding, Findings, SiteError, line_of, nearest, parse_toml};

/// File name.
pub(crate) const FILE: &str = "site.toml";

/// `site.toml` as meant.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where every appliance of the site lives; the root binds it.
    pub(crate) jurisdiction: Jurisdiction,
    /// Where `jurisdiction` is written.
    pub(crate) jurisdiction_line: usize,
    /// How long signatures hold.
    pub(crate) expiry: Expiry,
    /// How appliances connect; none if nothing is said of it.
    pub(crate) transport: Option<Transport>,
    /// How long certificates hold, days.
    pub(crate) certificate_days: BTreeMap<CertificateKind, u64>,
    /// Who hides behind the tokens in the root; stays at the control plane (R46).
    pub(crate) persons: BTreeMap<PersonToken, String>,
}

/// `[transport]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transport {
    /// Seconds between two looks at a repository.
    pub(crate) poll_seconds: u32,
    /// Days after which a revocation list is stale.
    pub(crate) crl_max_age_days: u32,
}

impl Default for Transport {
    fn default() -> Self {
        Self { poll_seconds: DEFAULT_POLL_SECONDS, crl_max_age_days: DEFAULT_CRL_MAX_AGE_DAYS }
    }
}

/// Days a certificate of `kind` holds unless said otherwise. An appliance may be off line for 400 days and must still be
/// let in when it comes back (R51); a person is asked for a new request twice a year.
const fn default_certificate_days(kind: CertificateKind) -> u64 {
    match kind {
        CertificateKind::Appliance => 760,
        CertificateKind::Service => 400,
        CertificateKind::Operator | CertificateKind::Publisher | CertificateKind::Auditor => 180,
    }
}

/// Days from signing to expiry, for each kind of role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// `targets` and the groups' roles.
    pub(crate) targets: u64,
    /// `snapshot`.
    pub(crate) snapshot: u64,
    /// `timestamp`.
    pub(crate) timestamp: u64,
    /// `root`.
    pub(crate) root: u64,
}

impl Expiry {
    /// Root, targets and snapshot outlive a year off line; the timestamp says how stale a stick may be.
    pub(crate) const DEFAULT: Self = Self { targets: 400, snapshot: 400, timestamp: 90, root: 400 };
}

/// Longest expiry, days: ten years.
const MAX_DAYS: u64 = 3660;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: Spanned<u32>,
    jurisdiction: Spanned<Jurisdiction>,
    #[serde(default)]
    expiry_days: ExpiryWritten,
    transport: Option<TransportWritten>,
    #[serde(default)]
    certificate_days: BTreeMap<String, Spanned<u64>>,
    #[serde(default)]
    persons: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiryWritten {
    root: Option<Spanned<u64>>,
    targets: Option<Spanned<u64>>,
    snapshot: Option<Spanned<u64>>,
    timestamp: Option<Spanned<u64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransportWritten {
    poll: Option<Spanned<String>>,
    crl_max_age: Option<Spanned<String>>,
}

impl Settings {
    /// Reads the text of `site.toml`.
    ///
    /// # Errors
    /// Everything wrong in it.
    pub(crate) fn parse(text: &str) -> Result<Self, SiteError> {
        let written: Written = parse_toml(FILE, text)?;
        let mut findings = Findings::default();
        let line = |offset: usize| line_of(text, offset);
        if *written.format.get_ref() != 1 {
            let what = format!("format {} is not known", written.format.get_ref());
            findings.push(Finding::new(FILE, line(written.format.span().start), what, "write format = 1"));
        }
        let mut days = |given: &Option<Spanned<u64>>, default: u64| match given {
            None => default,
            Some(days) if (1..=MAX_DAYS).contains(days.get_ref()) => *days.get_ref(),
            Some(days) => {
                let what = format!("{} days is no expiry", days.get_ref());
                findings.push(Finding::new(FILE, line(days.span().start), what, format!("write 1 to {MAX_DAYS}")));
                default
            }
        };
        let default = Expiry::DEFAULT;
        let expiry = Expiry {
            root: days(&written.expiry_days.root, default.root),
            targets: days(&written.expiry_days.targets, default.targets),
            snapshot: days(&written.expiry_days.snapshot, default.snapshot),
            timestamp: days(&written.expiry_days.timestamp, default.timestamp),
        };
        for (token, name) in &written.persons {
            if name.get_ref().trim().is_empty() {
                let what = format!("person {token} has no name");
                findings.push(Finding::new(FILE, line(name.span().start), what, "write who it is"));
            }
        }
        let transport = written.transport.as_ref().map(|written| read_transport(written, text, &mut findings));
        let certificate_days = read_certificate_days(&written.certificate_days, text, &mut findings);
        findings.none()?;
        Ok(Self {
            transport,
            certificate_days,
            jurisdiction: *written.jurisdiction.get_ref(),
            jurisdiction_line: line(written.jurisdiction.span().start),
            expiry,
            persons: written.persons.into_iter().map(|(token, name)| (PersonToken(token), name.into_inner())).collect(),
        })
    }

    /// Days a certificate of `kind` holds.
    pub(crate) fn certificate_days(&self, kind: CertificateKind) -> u64 {
        self.certificate_days.get(&kind).copied().unwrap_or_else(|| default_certificate_days(kind))
    }

    /// A person as people call her, or the token of one nobody registered.
    pub(crate) fn person<'a>(&'a self, token: &'a PersonToken) -> &'a str {
        self.persons.get(token).map_or(token.0.as_str(), String::as_str)
    }
}

fn read_transport(written: &TransportWritten, text: &str, findings: &mut Findings) -> Transport {
    let mut read = |given: &Option<Spanned<String>>, unit: u64, range: (u64, u64), example: &str, default: u32| {
        let Some(given) = given else { return default };
        let count = seconds(given.get_ref()).filter(|seconds| seconds % unit == 0).map(|seconds| seconds / unit);
        let count =
            count.filter(|count| (range.0..=range.1).contains(count)).and_then(|count| u32::try_from(count).ok());
        count.unwrap_or_else(|| {
            let what = format!("{:?} does not fit here", given.get_ref());
            findings.push(Finding::new(FILE, line_of(text, given.span().start), what, format!("write {example}")));
            default
        })
    };
    let Transport { poll_seconds, crl_max_age_days } = Transport::default();
    Transport {
        poll_seconds: read(&written.poll, 1, (10, 604_800), "\"10s\" to \"7d\", such as \"1h\"", poll_seconds),
        crl_max_age_days: read(&written.crl_max_age, 86_400, (1, MAX_DAYS), "days, such as \"90d\"", crl_max_age_days),
    }
}

fn read_certificate_days(
    written: &BTreeMap<String, Spanned<u64>>,
    text: &str,
    findings: &mut Findings,
) -> BTreeMap<CertificateKind, u64> {
    let mut days = BTreeMap::new();
    for (word, given) in written {
        let line = line_of(text, given.span().start);
        match (word.parse::<CertificateKind>(), *given.get_ref()) {
            (Ok(kind), 1..=MAX_DAYS) => days.extend([(kind, *given.get_ref())]),
            (Ok(_), other) => {
                let what = format!("{other} days is no life of a certificate");
                findings.push(Finding::new(FILE, line, what, format!("write 1 to {MAX_DAYS}")));
            }
            (Err(_), _) => {
                let known = CertificateKind::ALL.map(CertificateKind::as_str);
                let what = format!("{word:?} is no kind of certificate");
                findings.push(Finding::new(FILE, line, what, nearest(word, &known)));
            }
        }
    }
    days
}

/// `90s`, `5m`, `1h` or `90d` in seconds.
fn seconds(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_default_and_are_bounded() {
        let settings = Settings::parse("format = 1\njurisdiction = \"LU\"\n").unwrap();
        assert_eq!(settings.expiry, Expiry::DEFAULT);
        let error = Settings::parse("format = 1\njurisdiction = \"LU\"\n[expiry_days]\ntimestamp = 0\n").unwrap_err();
        assert_eq!(error.to_string(), "site.toml:4: 0 days is no expiry; write 1 to 3660");
    }

    #[test]
    fn every_wrong_line_is_named_at_once() {
        let text = "format = 2\njurisdiction = \"LU\"\n[expiry_days]\nroot = 9999\n[persons]\np-1 = \" \"\n";
        let error = Settings::parse(text).unwrap_err().to_string();
        for line in ["site.toml:1: format 2", "site.toml:4: 9999 days", "site.toml:6: person p-1"] {
            assert!(error.contains(line), "{error}");
        }
    }

    #[test]
    fn a_jurisdiction_is_checked_where_it_stands() {
        let error = Settings::parse("format = 1\njurisdiction = \"lux\"\n").unwrap_err().to_string();
        assert!(error.starts_with("site.toml:2: \"lux\" is no ISO 3166-1 alpha-2 code"), "{error}");
    }

    #[test]
    fn transport_and_certificate_lives_default_and_are_bounded() {
        let head = "format = 1\njurisdiction = \"LU\"\n";
        let settings = Settings::parse(head).unwrap();
        assert_eq!((settings.transport, settings.certificate_days(CertificateKind::Appliance)), (None, 760));
        let text = format!("{head}[transport]\npoll = \"10m\"\n[certificate_days]\noperator = 30\n");
        let settings = Settings::parse(&text).unwrap();
        assert_eq!(settings.transport, Some(Transport { poll_seconds: 600, ..Transport::default() }));
        assert_eq!(settings.certificate_days(CertificateKind::Operator), 30);
        for (line, expected) in [
            ("[transport]\npoll = \"9s\"", "site.toml:4: \"9s\" does not fit here"),
            ("[transport]\npoll = \"h\"", "site.toml:4: \"h\" does not fit here"),
            ("[transport]\ncrl_max_age = \"36h\"", "site.toml:4: \"36h\" does not fit here"),
            ("[transport]\npol = \"1h\"", "site.toml:4: unknown field `pol`"),
            ("[certificate_days]\nservice = 0", "site.toml:4: 0 days is no life"),
            ("[certificate_days]\noperater = 9", "site.toml:4: \"operater\" is no kind of certificate"),
        ] {
            let error = Settings::parse(&format!("{head}{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
