//! What the watcher saw go beyond the boundary: written by its own user, read by the agent, never trusted beyond its
//! shape.

use std::net::IpAddr;
use std::path::Path;

use casemate_protocol::bundle::probe::is_unit;
use casemate_protocol::tuf::time::UtcTime;
use serde::{Deserialize, Serialize};

use super::foreign_file::{ForeignFileError, Owner, read};

/// Its name in the watcher's folder.
pub const FILE: &str = "drops.json";
/// `format` of what is written here.
pub const FORMAT: u32 = 1;
/// Most rows kept.
pub const MAX_ROWS: usize = 256;
/// Longest one read, bytes: [`MAX_ROWS`] rows have room in it.
const MAX_LENGTH: u64 = 256 * 1024;

/// What went beyond the boundary since the watcher started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drops {
    /// 1.
    pub format: u32,
    /// Packets.
    pub total: u64,
    /// Of those, packets that came too fast to be told apart.
    pub lost: u64,
    /// By sender and destination, newest last seen first.
    pub rows: Vec<DropRow>,
}

/// Packets of one sender to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropRow {
    /// The sender's user; absent for what came from the network or from the kernel itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The sender's unit; absent if its socket was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Which way.
    pub direction: DropDirection,
    /// What: `tcp`, `udp`, `icmp`, `icmpv6`, or the protocol's number.
    pub protocol: String,
    /// The other end.
    pub address: IpAddr,
    /// The port asked for; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How many.
    pub count: u64,
    /// When the first was seen.
    pub first_seen: UtcTime,
    /// When the last was seen.
    pub last_seen: UtcTime,
}

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropDirection {
    /// To this machine.
    In,
    /// From it.
    Out,
    /// Through it.
    Forward,
}

impl Drops {
    /// What stands in `folder`.
    ///
    /// # Errors
    /// Nothing stands there, somebody else could have written it, or it has another shape.
    pub fn read(folder: &Path) -> Result<Self, ForeignFileError> {
        let is_plain = |row: &DropRow| {
            let word =
                |text: &str| (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            word(&row.protocol) && row.unit.as_deref().is_none_or(is_unit)
        };
        read(&folder.join(FILE), Owner::Folders, MAX_LENGTH, |drops: &Self| {
            drops.format == FORMAT && drops.rows.len() <= MAX_ROWS && drops.rows.iter().all(is_plain)
        })
    }
}
