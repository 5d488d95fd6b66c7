//! `site.toml`: what holds for the whole site.

use std::collections::BTreeMap;

use casemate_protocol::device::id::Jurisdiction;
use casemate_protocol::tuf::root::PersonToken;
use serde::Deserialize;
use toml::Spanned;

use super::finding::{Finding, Findings, SiteError, line_of, parse_toml};

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
    /// Who hides behind the tokens in the root; stays at the control plane (R46).
    pub(crate) persons: BTreeMap<PersonToken, String>,
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
        findings.none()?;
        Ok(Self {
            jurisdiction: *written.jurisdiction.get_ref(),
            jurisdiction_line: line(written.jurisdiction.span().start),
            expiry,
            persons: written.persons.into_iter().map(|(token, name)| (PersonToken(token), name.into_inner())).collect(),
        })
    }

    /// A person as people call her, or the token of one nobody registered.
    pub(crate) fn person<'a>(&'a self, token: &'a PersonToken) -> &'a str {
        self.persons.get(token).map_or(token.0.as_str(), String::as_str)
    }
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
}
