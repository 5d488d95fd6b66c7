//! Why a slot was not written.

use std::path::PathBuf;
use std::time::Duration;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use thiserror::Error;

use super::writer::SlotName;
use crate::reason::Reason;

/// What goes wrong with slots.
#[derive(Debug, Error)]
pub enum SlotError {
    /// A file, device or pointer cannot be read or written.
    #[error("cannot {verb} {path}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The artifact is longer than the slot.
    #[error("slot {slot} has {room} bytes, the artifact {needed}")]
    TooSmall {
        /// Which.
        slot: SlotName,
        /// Bytes it has.
        room: u64,
        /// Bytes it would take.
        needed: u64,
    },
    /// The slot does not hold what was written.
    #[error("slot {slot} gives back {found}, {expected} was written")]
    ReadBack {
        /// Which.
        slot: SlotName,
        /// Digest of what was written.
        expected: Digest,
        /// Digest of what was read.
        found: Digest,
    },
    /// Nobody says which slot runs, so neither may be written.
    #[error("{place} does not say which slot runs; found {found:?}, known are {known:?}")]
    BootedUnknown {
        /// Where it should stand.
        place: String,
        /// What stands there.
        found: Option<String>,
        /// The slots there are.
        known: Vec<String>,
    },
    /// It was written, and something else boots next.
    #[error("the artifact is installed, and slot {next} boots next, the one that runs: is activate-installed off?")]
    NotMarked {
        /// What boots next.
        next: SlotName,
    },
    /// RAUC or the bus does not answer.
    #[error("RAUC does not answer on {bus}")]
    Unreachable {
        /// The bus.
        bus: PathBuf,
        /// Why.
        #[source]
        source: zbus::Error,
    },
    /// RAUC left the bus in the middle.
    #[error("RAUC stopped while it was installing")]
    Stopped,
    /// RAUC does something else.
    #[error("RAUC is busy with something else for more than {0:?}")]
    Busy(Duration),
    /// The installation takes too long.
    #[error("the installation did not end within {0:?}")]
    TimedOut(Duration),
    /// RAUC refused or failed.
    #[error("RAUC: {message}")]
    Refused {
        /// As a word.
        reason: Reason,
        /// RAUC's own text.
        message: String,
    },
}

impl SlotError {
    /// The word for the agent.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::File { .. } => Reason::SlotFailed,
            Self::TooSmall { .. } => Reason::SlotTooSmall,
            Self::ReadBack { .. } => Reason::ReadBackDiffers,
            Self::BootedUnknown { .. } => Reason::BootSlotUnknown,
            Self::NotMarked { .. } => Reason::NotMarked,
            Self::Unreachable { .. } | Self::Stopped => Reason::InstallerUnreachable,
            Self::Busy(_) => Reason::InstallerBusy,
            Self::TimedOut(_) => Reason::TimedOut,
            Self::Refused { reason, .. } => *reason,
        }
    }
}

impl Explain for SlotError {
    fn code(&self) -> Code {
        Code::SlotsUnavailable
    }
}
