//! Rows of packets that were stopped, or let through while a boundary was only observed.

use std::net::IpAddr;

use casemate_protocol::canonical::{self, JsonError};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::tuf::time::UtcTime;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// Longest file read, bytes.
pub(crate) const MAX_LENGTH: u64 = 4 * 1024 * 1024;

/// Packets of one sender to one destination.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    /// The sender's user, if it was on the appliance.
    pub(crate) uid: Option<u32>,
    /// The sender's unit, if it could be told.
    pub(crate) unit: Option<String>,
    /// `in`, `out` or `forward`.
    pub(crate) direction: String,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or a number.
    pub(crate) protocol: String,
    /// The other end.
    pub(crate) address: IpAddr,
    /// The port asked for.
    pub(crate) port: Option<u16>,
    /// How many.
    pub(crate) count: u64,
    /// When the first was seen.
    pub(crate) first_seen: UtcTime,
    /// When the last was seen.
    pub(crate) last_seen: UtcTime,
}

/// A file that says nothing a flow could be proposed from.
#[derive(Debug, Error)]
pub(crate) enum ObservationError {
    /// Not strict JSON.
    #[error("{0} is not JSON")]
    Json(String, #[source] JsonError),
    /// Rows of another shape.
    #[error("{0} holds rows of another shape")]
    Shape(String, #[source] serde_json::Error),
    /// A health report.
    #[error("{file} is a health report: it counts {attempts} attempts and names no destination")]
    Health {
        /// The file.
        file: String,
        /// As counted.
        attempts: u64,
    },
    /// A boundary report without rows.
    #[error("{0} holds no rows: nobody watches on that appliance, or it was not the admin who asked")]
    Unwatched(String),
    /// Something else.
    #[error("{0} is no boundary report")]
    Other(String),
}

impl Explain for ObservationError {
    fn code(&self) -> Code {
        Code::UsageInvalid
    }

    fn remedy(&self) -> String {
        match self {
            Self::Unwatched(_) => {
                "Start casemate-boundary-watch.service there, then `casemate-agent boundary show --json` as root.".into()
            }
            _ => {
                "Bring what `casemate-agent boundary show --json` prints on the appliance, or its drops.json: destinations \
                 never leave an appliance by themselves."
                    .into()
            }
        }
    }
}

/// The rows in `raw`: a boundary report, or the watcher's own file.
///
/// # Errors
/// Neither.
pub(crate) fn parse(file: &str, raw: &[u8]) -> Result<Vec<Row>, ObservationError> {
    let value = canonical::parse(raw).map_err(|source| ObservationError::Json(file.into(), source))?;
    let rows = [&value["drops"]["rows"], &value["rows"]].into_iter().find(|rows| rows.is_array());
    if let Some(rows) = rows {
        return Vec::deserialize(rows).map_err(|source| ObservationError::Shape(file.into(), source));
    }
    let health = [&value["boundary"], &value["health"]["boundary"]].into_iter().find_map(|of| of["attempts"].as_u64());
    Err(match (health, &value["attempts"]) {
        (Some(attempts), _) => ObservationError::Health { file: file.into(), attempts },
        (None, Value::Null) => ObservationError::Other(file.into()),
        (None, _) => ObservationError::Unwatched(file.into()),
    })
}
