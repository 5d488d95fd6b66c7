//! What a manifest asks beyond its files, as meant: when to switch, what has to work, and by when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::manifest::Manifest;
use super::probe::{Probe, ProbeError, is_unit};
use super::window::{Window, WindowError};
use crate::code::{Code, Explain};
use crate::device::id::Name;

/// Consumers one manifest may declare.
pub const MAX_CONSUMERS: usize = 16;
/// Probes one manifest may declare.
pub const MAX_PROBES: usize = 16;
/// Time for confirmation where none is stated, seconds.
pub const DEFAULT_DEADLINE_SECONDS: u64 = 600;
/// For how long probes must hold where it is not stated, seconds.
pub const DEFAULT_HOLD_SECONDS: u64 = 10;
/// What is awaited where the control plane has to confirm: no consumer may be called that.
pub const CONTROL_PLANE: &str = "control-plane";
/// Longest time for confirmation, seconds: what is not confirmed by then keeps the appliance between two states.
pub const MAX_DEADLINE_SECONDS: u64 = 86_400;

/// The conditions of one generation. What the engine needs to decide, and small: it stands in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Switch only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Seconds from the switch by which everything is confirmed.
    pub deadline_seconds: u64,
    /// Consumers that must report ready, and [`CONTROL_PLANE`] where it must be reached.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub awaited: BTreeSet<Name>,
    /// Seconds the probes must hold without a break; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u64>,
}

impl Terms {
    /// The switch alone does not commit.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        !self.awaited.is_empty() || self.hold_seconds.is_some()
    }

    /// The control plane has to be reached.
    #[must_use]
    pub fn awaits_control_plane(&self) -> bool {
        self.awaited.iter().any(|name| name.as_str() == CONTROL_PLANE)
    }

    /// Nothing is asked: switch at once, commit at once.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.window.is_none() && !self.is_gated()
    }
}

/// Why a manifest's conditions cannot be met as written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TermsError {
    /// Not a window.
    #[error("apply.window")]
    Window(#[source] WindowError),
    /// Not a time span, or out of range.
    #[error("apply.{key}: {found:?} is no time between {least} s and {most} s such as \"90s\", \"10m\" or \"2h\"")]
    Span {
        /// Which.
        key: &'static str,
        /// As written.
        found: String,
        /// Shortest allowed.
        least: u64,
        /// Longest allowed.
        most: u64,
    },
    /// Probes could never hold long enough.
    #[error("apply.hold ({hold_seconds} s) does not fit into apply.deadline ({deadline_seconds} s)")]
    HoldTooLong {
        /// Asked.
        hold_seconds: u64,
        /// Allowed.
        deadline_seconds: u64,
    },
    /// Nobody of that name confirms.
    #[error("apply.confirm: {0:?} cannot confirm, \"consumers\" and \"control-plane\" can")]
    Confirm(String),
    /// A consumer is called what the control plane is awaited as.
    #[error("a consumer cannot be called {CONTROL_PLANE}")]
    Reserved,
    /// Consumers shall confirm and there is none.
    #[error("apply.confirm: consumers shall confirm and the manifest declares none")]
    NoConsumer,
    /// A probe is malformed or leads off the appliance.
    #[error("a probe cannot be used")]
    Probe(#[source] ProbeError),
    /// A consumer's unit is no unit's name.
    #[error("consumer {consumer}: {unit:?} is no name of a systemd unit")]
    Unit {
        /// Which.
        consumer: Name,
        /// As written.
        unit: String,
    },
    /// A file names a consumer that is not declared.
    #[error("{file} names the consumer {consumer}, which is not declared")]
    Undeclared {
        /// Which file.
        file: String,
        /// Whom it names.
        consumer: Name,
    },
    /// More than the limit.
    #[error("{found} {what}, at most {most} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many may be.
        most: usize,
    },
}

impl Explain for TermsError {
    fn code(&self) -> Code {
        match self {
            Self::TooMany { .. } => Code::TooLarge,
            _ => Code::ManifestInvalid,
        }
    }
}

impl Manifest {
    /// Its conditions.
    ///
    /// # Errors
    /// One of them is malformed, or this version cannot meet it.
    pub fn terms(&self) -> Result<Terms, TermsError> {
        self.check_consumers()?;
        let window = self.apply.window.as_deref().map(str::parse).transpose().map_err(TermsError::Window)?;
        let deadline = span("deadline", self.apply.deadline.as_deref(), DEFAULT_DEADLINE_SECONDS, 5)?;
        let hold = span("hold", self.apply.hold.as_deref(), DEFAULT_HOLD_SECONDS.min(deadline / 2), 0)?;
        let probed = !self.probes()?.is_empty();
        if probed && hold >= deadline {
            return Err(TermsError::HoldTooLong { hold_seconds: hold, deadline_seconds: deadline });
        }
        let confirming = self.confirming()?;
        let consumers = self.consumers.keys().filter(|_| confirming.consumers).cloned();
        let awaited = consumers.chain(confirming.control_plane).collect();
        Ok(Terms { window, deadline_seconds: deadline, awaited, hold_seconds: probed.then_some(hold) })
    }

    /// Everything the appliance itself has to probe: what `[[probe]]` declares, and the readiness of consumers that
    /// are waited for.
    ///
    /// # Errors
    /// One is malformed or leads off the appliance.
    pub fn probes(&self) -> Result<Vec<Probe>, TermsError> {
        let mut probes = self.apply.probes.clone();
        if self.confirming()?.consumers {
            probes.extend(self.consumers.values().filter_map(|consumer| consumer.ready.clone()).map(Probe::Http));
        }
        for ready in self.consumers.values().filter_map(|consumer| consumer.ready.clone()) {
            Probe::Http(ready).target().map_err(TermsError::Probe)?;
        }
        for probe in &probes {
            probe.target().map_err(TermsError::Probe)?;
        }
        at_most("probes", probes.len(), MAX_PROBES)?;
        Ok(probes)
    }

    fn confirming(&self) -> Result<Confirming, TermsError> {
        let mut confirming = Confirming::default();
        for who in &self.apply.confirm {
            match who.as_str() {
                "consumers" => confirming.consumers = true,
                CONTROL_PLANE => confirming.control_plane = CONTROL_PLANE.parse().ok(),
                other => return Err(TermsError::Confirm(other.chars().take(80).collect())),
            }
        }
        if confirming.consumers && self.consumers.is_empty() { Err(TermsError::NoConsumer) } else { Ok(confirming) }
    }

    fn check_consumers(&self) -> Result<(), TermsError> {
        at_most("consumers", self.consumers.len(), MAX_CONSUMERS)?;
        for (name, consumer) in &self.consumers {
            if name.as_str() == CONTROL_PLANE {
                return Err(TermsError::Reserved);
            }
            if let Some(unit) = consumer.unit.as_deref().filter(|unit| !is_unit(unit)) {
                return Err(TermsError::Unit { consumer: name.clone(), unit: unit.chars().take(80).collect() });
            }
        }
        let undeclared = self.files.iter().find_map(|file| {
            let consumer = file.consumer.as_ref().filter(|name| !self.consumers.contains_key(name))?;
            Some((file.path.to_string(), consumer.clone()))
        });
        undeclared.map_or(Ok(()), |(file, consumer)| Err(TermsError::Undeclared { file, consumer }))
    }
}

/// Who has to confirm.
#[derive(Default)]
struct Confirming {
    consumers: bool,
    /// Its name, if it has to.
    control_plane: Option<Name>,
}

fn at_most(what: &'static str, found: usize, most: usize) -> Result<(), TermsError> {
    if found > most { Err(TermsError::TooMany { what, found, most }) } else { Ok(()) }
}

/// Reads `90s`, `10m`, `2h`.
fn span(key: &'static str, text: Option<&str>, default: u64, least: u64) -> Result<u64, TermsError> {
    let Some(text) = text else { return Ok(default) };
    let most = MAX_DEADLINE_SECONDS;
    let seconds = seconds(text).filter(|seconds| (least..=most).contains(seconds));
    seconds.ok_or_else(|| TermsError::Span { key, found: text.chars().take(80).collect(), least, most })
}

fn seconds(text: &str) -> Option<u64> {
    let number = text.strip_suffix(['s', 'm', 'h'])?;
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        _ => 3600,
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(more: &str) -> Manifest {
        let text = format!("{{\"format\":1,\"owner\":\"group.clinics\",\"summary\":\"s\",\"files\":[]{more}}}");
        serde_json::from_str(&text).unwrap()
    }

    fn apply(apply: &str) -> Result<Terms, TermsError> {
        manifest(&format!(",\"apply\":{{{apply}}}")).terms()
    }

    #[test]
    fn a_manifest_that_asks_nothing_commits_at_once() {
        let terms = manifest("").terms().unwrap();
        assert!(terms.is_plain());
        let declared = manifest(",\"consumers\":{\"a\":{\"unit\":\"a.service\",\"on_change\":\"reload\"}}");
        assert!(declared.terms().unwrap().is_plain(), "a consumer nobody waits for is told and not awaited");
    }

    #[test]
    fn awaited_consumers_bring_their_readiness_as_a_probe() {
        let with = |confirm: &str| {
            manifest(&format!(
                ",\"apply\":{{\"confirm\":[{confirm}]}},\"consumers\":{{\"a\":{{\"ready\":\"http://127.0.0.1:1/r\"}}}}"
            ))
        };
        let terms = with("\"consumers\"").terms().unwrap();
        assert_eq!(terms.awaited, BTreeSet::from(["a".parse().unwrap()]));
        assert_eq!((terms.deadline_seconds, terms.hold_seconds), (600, Some(10)));
        assert!(with("").terms().unwrap().is_plain());
    }

    #[test]
    fn spans_are_read_with_their_unit_and_kept_in_range() {
        let probes = "\"probes\":[{\"tcp\":\"127.0.0.1:1\"}]";
        let terms = apply(&format!("\"deadline\":\"2m\",\"hold\":\"15s\",{probes}")).unwrap();
        assert_eq!((terms.deadline_seconds, terms.hold_seconds), (120, Some(15)));
        assert_eq!(apply(&format!("\"deadline\":\"6s\",{probes}")).unwrap().hold_seconds, Some(3));
        for text in ["", "10", "m", "1d", "-1m", "+1m", "1s", "25h", "99999999999999999999h", "1 m"] {
            assert!(matches!(apply(&format!("\"deadline\":{text:?}")), Err(TermsError::Span { .. })), "{text}");
        }
        let late = apply(&format!("\"deadline\":\"10s\",\"hold\":\"10s\",{probes}"));
        assert!(matches!(late, Err(TermsError::HoldTooLong { .. })));
    }

    #[test]
    fn the_control_plane_is_awaited_beside_consumers_or_alone() {
        let alone = apply("\"confirm\":[\"control-plane\"]").unwrap();
        assert!(alone.is_gated() && alone.awaits_control_plane() && alone.awaited.len() == 1);
        let both = ",\"apply\":{\"confirm\":[\"control-plane\",\"consumers\"]},\"consumers\":{\"a\":{}}";
        let both = manifest(both).terms().unwrap();
        assert!(both.awaits_control_plane() && both.awaited.len() == 2);
        assert!(!apply("").unwrap().awaits_control_plane());
    }

    #[test]
    fn what_cannot_be_met_is_refused_and_named() {
        let code = |result: Result<Terms, TermsError>| result.unwrap_err().code();
        let reserved = manifest(",\"consumers\":{\"control-plane\":{}}").terms();
        assert_eq!(reserved, Err(TermsError::Reserved));
        assert_eq!(code(apply("\"confirm\":[\"consumer\"]")), Code::ManifestInvalid);
        assert_eq!(code(apply("\"confirm\":[\"consumers\"]")), Code::ManifestInvalid);
        assert_eq!(code(apply("\"window\":\"Someday\"")), Code::ManifestInvalid);
        assert_eq!(code(apply("\"probes\":[{\"http\":\"http://example.org/\"}]")), Code::ManifestInvalid);
        let many = vec!["{\"tcp\":\"127.0.0.1:1\"}"; MAX_PROBES + 1].join(",");
        assert_eq!(code(apply(&format!("\"probes\":[{many}]"))), Code::TooLarge);
        let consumer = |fields: &str| manifest(&format!(",\"consumers\":{{\"a\":{{{fields}}}}}")).terms();
        assert_eq!(code(consumer("\"unit\":\"a; reboot\"")), Code::ManifestInvalid);
        assert_eq!(code(consumer("\"ready\":\"http://10.0.0.1/\"")), Code::ManifestInvalid);
    }
}
