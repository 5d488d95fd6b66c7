//! `ca/issued.csv`: every certificate the authority has ever issued, one line each.

use std::collections::BTreeMap;

use casemate_protocol::device::certificate_name::CertificateKind;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::time::UtcTime;

use crate::site::finding::{Finding, Findings, SiteError};

/// The path in the site.
pub(crate) const FILE: &str = "ca/issued.csv";
const HEAD: &str = "serial,kind,id,not_after,revoked_at,spki";
const NOTE: &str = "# Every certificate of this site's authority; `casemate ca` writes this file.";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Serial number, hexadecimal.
    pub(crate) serial: String,
    /// What the holder is.
    pub(crate) kind: CertificateKind,
    /// Who the holder is.
    pub(crate) id: Name,
    /// Until when it holds.
    pub(crate) not_after: UtcTime,
    /// When it was revoked.
    pub(crate) revoked_at: Option<UtcTime>,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub(crate) spki: Digest,
}

impl Entry {
    /// How it stands at `now`.
    pub(crate) fn state(&self, now: UtcTime) -> &'static str {
        match self.revoked_at {
            Some(_) => "revoked",
            None if self.not_after < now => "expired",
            None => "valid",
        }
    }
}

/// All lines, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) Vec<Entry>);

impl Register {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Everything wrong in it.
    pub(crate) fn parse(text: &str) -> Result<Self, SiteError> {
        let mut findings = Findings::default();
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
        if let Some((index, head)) = lines.next().filter(|(_, head)| *head != HEAD) {
            let what = format!("the head is {head:?}");
            return Err(Finding::new(
                FILE,
                index + 1,
                what,
                format!("restore {HEAD:?}: only `casemate ca` writes this"),
            )
            .into());
        }
        for (index, line) in lines {
            let entry = entry(line).filter(|entry| entries.iter().all(|other| other.serial != entry.serial));
            match entry {
                Some(entry) => entries.push(entry),
                None => {
                    let what = "this is no line of the register, or its serial number stands there twice";
                    findings.push(Finding::new(FILE, index + 1, what, "restore the file from its history"));
                }
            }
        }
        findings.none()?;
        Ok(Self(entries))
    }

    /// The file's text.
    pub(crate) fn text(&self) -> String {
        let line = |entry: &Entry| {
            let revoked = entry.revoked_at.map_or_else(String::new, |at| at.to_string());
            let Entry { serial, kind, id, not_after, spki, .. } = entry;
            format!("{serial},{kind},{id},{not_after},{revoked},{spki}\n")
        };
        format!("{NOTE}\n{HEAD}\n{}", self.0.iter().map(line).collect::<String>())
    }

    /// A holder's certificates, oldest first.
    pub(crate) fn of<'a>(&'a self, kind: CertificateKind, id: &'a Name) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| entry.kind == kind && entry.id == *id)
    }

    /// The certificate with this serial number.
    pub(crate) fn serial(&self, serial: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.serial == serial)
    }

    /// What belongs on a revocation list of `now`.
    ///
    /// One that has expired is left out: whoever gets the list gets it with metadata signed later, so its own clock
    /// is past that date too. But a service's stays for ever: of peers, appliances judge no dates.
    pub(crate) fn revoked(&self, now: UtcTime) -> impl Iterator<Item = (&Entry, UtcTime)> {
        let is_listed = move |entry: &&Entry| entry.not_after >= now || entry.kind == CertificateKind::Service;
        self.0.iter().filter(is_listed).filter_map(|entry| entry.revoked_at.map(|at| (entry, at)))
    }

    /// The keys of services whose newest certificate is revoked, with their holders: nobody who proves one of them is
    /// a peer. A key that was certified again in spite of that is not among them.
    pub(crate) fn revoked_keys(&self) -> BTreeMap<Digest, &Name> {
        let mut keys = BTreeMap::new();
        for entry in self.0.iter().filter(|entry| entry.kind == CertificateKind::Service) {
            match entry.revoked_at {
                Some(_) => keys.insert(entry.spki, &entry.id),
                None => keys.remove(&entry.spki),
            };
        }
        keys
    }
}

fn entry(line: &str) -> Option<Entry> {
    let cells: Vec<_> = line.split(',').collect();
    let [serial, kind, id, not_after, revoked_at, spki] = cells.as_slice() else { return None };
    let is_serial =
        (2..=40).contains(&serial.len()) && serial.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Some(Entry {
        serial: is_serial.then(|| (*serial).to_owned())?,
        kind: kind.parse().ok()?,
        id: id.parse().ok()?,
        not_after: not_after.parse().ok()?,
        revoked_at: if revoked_at.is_empty() { None } else { Some(revoked_at.parse().ok()?) },
        spki: spki.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcTime {
        text.parse().unwrap()
    }

    fn register() -> Register {
        let entry = |serial: &str, revoked_at| Entry {
            serial: serial.into(),
            kind: CertificateKind::Operator,
            id: "ops-1".parse().unwrap(),
            not_after: at("2027-01-01T00:00:00Z"),
            revoked_at,
            spki: Digest::of(serial.as_bytes()),
        };
        Register(vec![entry("40ab", None), entry("41ab", Some(at("2026-05-01T00:00:00Z")))])
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Register::parse(&register().text()).unwrap(), register());
        assert_eq!(Register::parse("").unwrap(), Register::default());
    }

    #[test]
    fn a_line_that_somebody_changed_is_named() {
        for (from, to) in [("operator", "root"), ("40ab", "41ab"), ("2027-01-01T", "2027-13-01T"), (",ops-1", "")] {
            let error = Register::parse(&register().text().replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains("ca/issued.csv:"), "{from}: {error}");
        }
    }

    #[test]
    fn a_revoked_certificate_is_listed_until_it_expires() {
        let register = register();
        let listed = |now: &str| register.revoked(at(now)).map(|(entry, _)| entry.serial.as_str()).collect::<Vec<_>>();
        assert_eq!(listed("2027-01-01T00:00:00Z"), ["41ab"]);
        assert!(listed("2027-01-01T00:00:01Z").is_empty());
    }

    #[test]
    fn a_services_certificate_is_listed_for_ever_and_its_key_until_it_is_certified_again() {
        let mut register = register();
        assert!(register.revoked_keys().is_empty(), "a person is nobody's peer");
        register.0[1].kind = CertificateKind::Service;
        let late = at("2037-01-01T00:00:00Z");
        assert_eq!(register.revoked(late).map(|(entry, _)| entry.serial.as_str()).collect::<Vec<_>>(), ["41ab"]);
        let key = register.0[1].spki;
        assert_eq!(register.revoked_keys().into_keys().collect::<Vec<_>>(), [key]);
        register.0.push(Entry { serial: "42ab".into(), revoked_at: None, ..register.0[1].clone() });
        assert!(register.revoked_keys().is_empty());
        register.0[2].revoked_at = Some(late);
        assert_eq!(register.revoked_keys().into_keys().collect::<Vec<_>>(), [key]);
    }
}
