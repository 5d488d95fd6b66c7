//! The health report: a closed schema without free text (R31).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::dsse::{DsseError, Envelope};
use crate::canonical::{self, JsonError};
use crate::code::{Code, Explain};
use crate::device::id::{ApplianceId, Jurisdiction, Name};
use crate::device::key::{DeviceKey, DeviceKeyError};
use crate::digest::Digest;
use crate::evidence::receipt::{ClockQuality, JournalPosition};
use crate::keys::{KeyDocument, KeyId};
use crate::signed;
use crate::tuf::time::UtcTime;

/// DSSE payload type of a health report.
pub const PAYLOAD_TYPE: &str = "application/vnd.casemate.health+json";

/// `format` of the reports written here.
pub const FORMAT: u32 = 1;

/// How an appliance is, worst reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// Nothing to say.
    Ok,
    /// Nothing new was accepted for longer than allowed.
    Stale,
    /// Works, with a stated lack.
    Degraded,
    /// The wall clock contradicts signed time.
    ClockUntrusted,
    /// A stated emergency procedure is in force.
    BreakGlass,
    /// Damage found; changes are refused until a stated recovery.
    Quarantine,
}

/// Who sees to the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    /// The kernel, for the whole machine.
    Host,
    /// The agent, for itself; nobody for others on the machine.
    ProcessOnly,
    /// The kernel logs what goes beyond it, and lets it through for a time.
    Observe,
    /// It should be the kernel, and is not, or not for the policy the agent holds.
    None,
}

/// Which layers hold now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// Connections are made by one module, to addresses of the policy.
    pub door: bool,
    /// The agent's system calls are limited.
    pub seccomp: bool,
    /// Files and programs are limited.
    pub landlock: bool,
    /// TCP ports are limited.
    pub landlock_tcp: bool,
    /// The kernel drops what goes beyond the policy, whoever sends it.
    pub host: bool,
}

/// How the boundary stands. No address, no peer's name, and of units only those that signed manifests name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundaryHealth {
    /// Who sees to it.
    pub enforcement: Enforcement,
    /// Digest of the policy in force.
    pub policy: Digest,
    /// The signed boundary it comes from; absent if none is assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Version of the role that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// A wider boundary is being tried.
    pub trial: bool,
    /// Which layers hold.
    pub layers: Layers,
    /// Packets that went beyond it and were dropped, or let through in observation, since the machine started.
    pub attempts: u64,
    /// Units of signed manifests that sent some of them, sorted.
    pub units: Vec<String>,
}

/// How long what connections are made with holds, in whole days: negative afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificatesHealth {
    /// Until the appliance's own certificate expires; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_days: Option<i64>,
    /// Until the first of its revocation lists is stale; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl_days: Option<i64>,
}

/// How one way of talking to others stands, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransportHealth {
    /// Peers that answered when they were asked last; of the listener, whether it takes connections.
    pub up: u32,
    /// The others.
    pub down: u32,
    /// Hours since any of them answered, or anybody with a certificate connected; absent since the agent started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours_since: Option<u32>,
    /// What there was to notice of them today.
    pub noticed: u64,
}

/// How the transports stand. No address and no peer's name. What the boundary does not name is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransportsHealth {
    /// Repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<TransportHealth>,
    /// The listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<TransportHealth>,
    /// Brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<TransportHealth>,
}

/// What the appliance says about itself when asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthReport {
    /// [`FORMAT`].
    pub format: u32,
    /// Overall state: the worst of the reasons.
    pub state: HealthState,
    /// Why it is not `ok`, as codes, sorted.
    pub reasons: Vec<Code>,
    /// Who reports; absent before enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appliance: Option<ApplianceId>,
    /// Where it lives; absent before enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Jurisdiction>,
    /// One person may do everything here: the root says `demo`.
    pub demo: bool,
    /// Version of the newest accepted timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_version: Option<u64>,
    /// Digest of the newest accepted snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Digest>,
    /// Generations now current.
    pub generations: u32,
    /// How long certificate and revocation lists hold; absent if no bundle brought any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificatesHealth>,
    /// Receipts nobody has taken home yet.
    pub receipts_waiting: u32,
    /// How the boundary stands; absent in reports of programs that knew none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<BoundaryHealth>,
    /// How the transports stand; absent where the boundary names nobody to talk to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transports: Option<TransportsHealth>,
    /// When this was written, as far as the clock can be believed.
    pub time: UtcTime,
    /// How far that is.
    pub clock: ClockQuality,
    /// Size and root of the journal's tree.
    pub journal: JournalPosition,
}

impl HealthReport {
    /// The report in its envelope, as text: canonical JSON and a line end.
    ///
    /// # Errors
    /// Never for a report of this program.
    pub fn seal(&self, keyid: KeyId, sign: impl Fn(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, JsonError> {
        Envelope::seal(PAYLOAD_TYPE, &signed::message(self)?, keyid, sign).to_bytes()
    }
}

/// Why a signed health report is not acceptable.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The enrolled key cannot be used.
    #[error("the enrolled receipts key cannot be used")]
    Key(#[source] DeviceKeyError),
    /// The envelope is malformed or not signed by the key.
    #[error("the report's envelope cannot be opened")]
    Envelope(#[from] DsseError),
    /// The signed payload is not strict JSON.
    #[error("the report cannot be parsed")]
    Json(#[from] JsonError),
    /// The signed payload has another shape.
    #[error("the report has another shape than format {FORMAT}")]
    Shape(#[source] serde_json::Error),
}

impl Explain for HealthError {
    fn code(&self) -> Code {
        Code::ReceiptInvalid
    }
}

/// Opens an envelope and checks that the device whose receipts key is `key` made the report inside.
///
/// # Errors
/// A malformed envelope or report, or no signature by `key`.
pub fn verify(raw: &[u8], key: &KeyDocument) -> Result<HealthReport, HealthError> {
    let key = DeviceKey::new(key).map_err(HealthError::Key)?;
    let payload = Envelope::parse(raw)?.open(PAYLOAD_TYPE, &key)?;
    serde_json::from_value(canonical::parse(&payload)?).map_err(HealthError::Shape)
}
