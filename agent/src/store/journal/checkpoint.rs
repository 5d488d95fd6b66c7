//! Checkpoints: the small state at a position, in two files written in turn.
//!
//! While one is being written the other is whole, so at least one always is. They only save replaying: with both
//! lost, the journal alone brings the state back.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use casemate_protocol::evidence::merkle::Frontier;
use serde::{Deserialize, Serialize};

use crate::store::error::StoreError;
use crate::store::small_state::SmallState;
use casemate_protocol::evidence::crc::crc32c;

const MAGIC: &[u8; 16] = b"CASEMATE CHECKPT";
const FORMAT: u32 = 1;
/// magic (16) format (4) crc32c of the rest (4) length (8)
const HEADER_LEN: usize = 32;

/// The small state after the entries its frontier counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The tree's edge: its size is the position.
    pub(crate) frontier: Frontier,
    /// The state there.
    pub(crate) state: SmallState,
}

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    A,
    B,
}

impl Slot {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::A => "checkpoint.a",
            Self::B => "checkpoint.b",
        })
    }
}

/// What the two files hold.
#[derive(Debug)]
pub(crate) struct Found {
    /// The newest whole checkpoint, if any.
    pub(crate) newest: Option<Checkpoint>,
    /// Where it stands.
    pub(crate) slot: Slot,
    /// The other one, if whole.
    pub(crate) older: Option<Checkpoint>,
}

/// Reads both files; a torn or rotten one is as none.
pub(crate) fn read(folder: &Path) -> Found {
    let load = |slot: Slot| fs::read(slot.path(folder)).ok().and_then(|bytes| decode(&bytes));
    let (a, b) = (load(Slot::A), load(Slot::B));
    let size = |checkpoint: &Option<Checkpoint>| checkpoint.as_ref().map(|checkpoint| checkpoint.frontier.size());
    if size(&b) > size(&a) {
        Found { newest: b, slot: Slot::B, older: a }
    } else {
        Found { newest: a, slot: Slot::A, older: b }
    }
}

/// Writes `checkpoint` to `slot`.
///
/// # Durability
/// All of it, when it returns.
pub(crate) fn write(folder: &Path, slot: Slot, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let path = slot.path(folder);
    let bytes = encode(checkpoint);
    let fill = || {
        let mut options = OpenOptions::new();
        // Not truncated first: on a full disk the blocks it has are the ones it can still use.
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()
    };
    fill().map_err(StoreError::file("write", &path))
}

fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    // The state is plain data with text keys: JSON can always hold it.
    let payload = serde_json::to_vec(checkpoint).unwrap_or_default();
    let mut out = Vec::with_capacity(HEADER_LEN + payload.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    let length = (payload.len() as u64).to_le_bytes();
    out.extend_from_slice(&crc32c(&[&out, &length, &payload]).to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(&payload);
    out
}

fn decode(bytes: &[u8]) -> Option<Checkpoint> {
    let (header, rest) = bytes.split_at_checked(HEADER_LEN)?;
    let length = usize::try_from(u64::from_le_bytes(header[24..].try_into().ok()?)).ok()?;
    let payload = rest.get(..length)?;
    let crc = u32::from_le_bytes(header[20..24].try_into().ok()?);
    let whole = header.starts_with(MAGIC)
        && header[16..20] == FORMAT.to_le_bytes()
        && crc == crc32c(&[&header[..20], &header[24..], payload]);
    let checkpoint: Checkpoint = if whole { serde_json::from_slice(payload).ok()? } else { return None };
    checkpoint.frontier.is_consistent().then_some(checkpoint)
}
