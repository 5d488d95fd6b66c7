//! `boundary/envelope.toml`: how far any boundary may go. Its canonical form is what root binds.

use casemate_protocol::boundary::{Envelope, FORMAT};
use casemate_protocol::device::id::Jurisdiction;
use casemate_protocol::digest::Digest;
use casemate_protocol::signed;
use serde::Deserialize;
use toml::Spanned;

use super::reading::Reading;
use crate::site::finding::{Finding, SiteError, parse_toml};

/// The path in the site.
pub(crate) const FILE: &str = "boundary/envelope.toml";
/// No boundary can have this name: its document would stand where the envelope's does.
pub(crate) const NAME: &str = "envelope";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: Option<Spanned<u32>>,
    networks: Vec<Spanned<String>>,
    pins: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    dhcp: bool,
    #[serde(default)]
    observe: bool,
}

/// The envelope, as written and as bound.
#[derive(Clone, Debug)]
pub(crate) struct EnvelopeFile {
    /// What it allows.
    pub(crate) envelope: Envelope,
    /// The target: canonical JSON with a line end. Comments, spaces and the order of entries do not change it.
    pub(crate) raw: Vec<u8>,
    /// SHA-256 of [`Self::raw`].
    pub(crate) digest: Digest,
}

impl EnvelopeFile {
    /// Reads `text`, which stands in `file`.
    ///
    /// # Errors
    /// Everything wrong in it.
    pub(crate) fn parse(file: &str, text: &str, jurisdiction: Jurisdiction) -> Result<Self, SiteError> {
        let written: Written = parse_toml(file, text)?;
        let mut reading = Reading::new(file, text);
        reading.format(written.format.as_ref());
        let mut networks: Vec<_> = written.networks.iter().filter_map(|network| reading.network(network)).collect();
        networks.sort();
        networks.dedup();
        let pins = written.pins.map(|pins| {
            let mut pins: Vec<_> = pins.iter().filter_map(|pin| reading.digest(pin)).collect();
            pins.sort();
            pins.dedup();
            pins
        });
        reading.findings.none()?;
        let (dhcp, observe) = (written.dhcp, written.observe);
        let envelope = Envelope { format: FORMAT, jurisdiction, networks, pins, dhcp, observe };
        let whole = |what: String| Finding::new(file, 0, what, "see docs/site.md, boundary");
        let mut raw = signed::message(&envelope).map_err(|error| whole(error.to_string()))?;
        raw.push(b'\n');
        let digest = Digest::of(&raw);
        // What appliances will read, read as they do.
        Envelope::parse(&raw, Some(digest), jurisdiction).map_err(|error| whole(error.to_string()))?;
        Ok(Self { envelope, raw, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<EnvelopeFile, String> {
        EnvelopeFile::parse(FILE, text, "LU".parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_it_allows_changes_its_digest() {
        let one = parse("networks = [\"10.20.0.0/16\", \"fd00:1::/32\"]\n").unwrap();
        let same =
            parse("# ours\nformat = 1\nnetworks = [\"fd00:1::/32\",\n  \"10.20.0.0/16\",]\ndhcp = false\n").unwrap();
        assert_eq!(
            one.raw,
            b"{\"format\":1,\"jurisdiction\":\"LU\",\"networks\":[\"10.20.0.0/16\",\"fd00:1::/32\"]}\n"
        );
        assert_eq!(one.digest, same.digest);
        for other in ["networks = [\"10.20.0.0/15\"]", "networks = [\"10.20.0.0/16\", \"fd00:1::/32\"]\ndhcp = true"] {
            assert_ne!(parse(other).unwrap().digest, one.digest);
        }
    }

    #[test]
    fn every_wrong_entry_is_named_with_its_line() {
        let error = parse("networks = [\n  \"10.20.0.1/16\",\n  \"lu\",\n]\npins = [\"AB\"]\n").unwrap_err();
        for line in [
            "boundary/envelope.toml:2: \"10.20.0.1/16\" is no network: bits are set behind the prefix",
            "boundary/envelope.toml:3: \"lu\" is no network",
            "boundary/envelope.toml:5: \"AB\" is no SHA-256; write 64 lower-case",
        ] {
            assert!(error.contains(line), "{error}");
        }
        let error = parse("networks = []\nobserved = true\n").unwrap_err();
        assert!(error.contains("envelope.toml:2: unknown field `observed`; did you mean \"observe\"?"), "{error}");
        assert!(parse("dhcp = true\n").unwrap_err().contains("add `networks`"));
        assert!(parse("format = 2\nnetworks = []\n").unwrap_err().contains(":1: format 2 is not known"));
    }
}
