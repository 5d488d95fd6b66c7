//! What the service asks of whoever writes slots.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::SlotError;

/// A slot's name: RAUC's (`rootfs.1`), or the key in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotName(String);

impl SlotName {
    /// A name, taken as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The slots as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// The one that runs. It is never written.
    pub booted: SlotName,
    /// The one that boots next.
    pub next: SlotName,
    /// Of each slot, what tells one filling of it from another.
    pub seals: BTreeMap<SlotName, String>,
}

/// Is told the percentage done, from whatever thread writes.
pub type Progress = Arc<dyn Fn(u8) + Send + Sync>;

/// Writes slots. One caller at a time.
pub trait SlotWriter {
    /// The slots as they are.
    ///
    /// # Errors
    /// They cannot be told apart or read.
    fn look(&self) -> impl Future<Output = Result<Slots, SlotError>>;

    /// Writes `artifact` into the slot that does not run, verifies what it wrote and marks that slot to boot next.
    ///
    /// # Durability
    /// Cut at any moment, the slot that runs is untouched, and the slot marked to boot next is whole.
    ///
    /// # Errors
    /// The slot that runs is marked to boot next, or was never unmarked.
    fn install(&self, artifact: &Path, progress: &Progress) -> impl Future<Output = Result<SlotName, SlotError>>;

    /// Marks `slot` to boot next.
    ///
    /// # Errors
    /// The mark cannot be set.
    fn boot_next(&self, slot: &SlotName) -> impl Future<Output = Result<(), SlotError>>;
}
