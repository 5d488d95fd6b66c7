//! Why an artifact was not installed, as the word the agent shows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A reason word. Words are never renamed: operators look them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The generation declares this consumer and assigns no file to it.
    NoArtifact,
    /// More than one file is assigned to this consumer.
    SeveralArtifacts,
    /// The configuration lets the owner assign no firmware.
    OwnerNotAllowed,
    /// The artifact can be opened neither at its path nor through the agent.
    ArtifactUnreadable,
    /// Its length or content is not what the agent's tree names.
    ArtifactDiffers,
    /// No room for the service's own copy.
    DiskFull,
    /// What each slot holds cannot be written down.
    LedgerUnavailable,
    /// Which slot runs is unknown, so neither may be overwritten.
    BootSlotUnknown,
    /// The artifact is longer than the slot.
    SlotTooSmall,
    /// The slot cannot be written or read.
    SlotFailed,
    /// The slot gives back something else than was written.
    ReadBackDiffers,
    /// The slot was written, and the boot loader is not set to boot it.
    NotMarked,
    /// This very artifact was marked to boot, and another slot came up.
    FellBack,
    /// RAUC does not answer on the bus.
    InstallerUnreachable,
    /// RAUC is doing something else and does not end it.
    InstallerBusy,
    /// The installation did not end within its limit.
    TimedOut,
    /// RAUC does not trust the bundle's signature.
    SignatureInvalid,
    /// It is no RAUC bundle, or a damaged one.
    BundleMalformed,
    /// RAUC's configuration does not allow this bundle format.
    FormatNotAllowed,
    /// The bundle is for another kind of device.
    CompatibleMismatch,
    /// RAUC's configuration demands a newer version.
    VersionTooOld,
    /// A hook in the bundle or a handler of the system refused.
    RejectedByHook,
    /// RAUC failed for a reason without a word of its own; its text is in the log.
    InstallFailed,
}

impl Reason {
    /// Whether trying the same artifact again may end otherwise without anybody changing anything.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::ArtifactUnreadable
                | Self::DiskFull
                | Self::LedgerUnavailable
                | Self::InstallerUnreachable
                | Self::InstallerBusy
                | Self::TimedOut
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
