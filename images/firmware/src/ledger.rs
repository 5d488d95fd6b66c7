//! What this service knows of the slots: which artifact it wrote into which, and how the last attempt ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::atomic_file;
use crate::reason::Reason;
use crate::slot::{SlotName, Slots};

/// The file's name in the state folder.
const NAME: &str = "slots.json";

/// The ledger cannot be read or written.
#[derive(Debug, Error)]
#[error("cannot {verb} {path}")]
pub struct LedgerError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl Explain for LedgerError {
    fn code(&self) -> Code {
        Code::StateUnavailable
    }
}

/// One slot's filling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filling {
    /// The artifact, by the agent's object id.
    pub object: Digest,
    /// What the slot looked like right after.
    pub seal: String,
    /// It was marked to boot, and another slot came up.
    #[serde(default)]
    pub fell_back: bool,
}

/// A slot this service marked to boot next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Which.
    pub slot: SlotName,
    /// The kernel's boot id at that time.
    pub boot: String,
}

/// How the last attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The artifact.
    pub object: Digest,
    /// Why it failed; absent if it is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Reason>,
}

/// The ledger's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    /// What each slot holds, as far as this service wrote it.
    pub slots: BTreeMap<SlotName, Filling>,
    /// The mark that the next boot will answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// How the last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Attempt>,
}

impl Entries {
    /// What `slot` holds, unless somebody else has written it since.
    #[must_use]
    pub fn filling(&self, slot: &SlotName, slots: &Slots) -> Option<&Filling> {
        self.slots.get(slot).filter(|filling| slots.seals.get(slot) == Some(&filling.seal))
    }

    /// Notes what came up: whether the mark of an earlier boot was followed.
    pub fn booted(&mut self, slots: &Slots, boot: &str) {
        if let Some(mark) = self.mark.take_if(|mark| mark.boot != boot)
            && mark.slot != slots.booted
            && let Some(filling) = self.slots.get_mut(&mark.slot)
        {
            filling.fell_back = true;
        }
    }

    /// Notes which slot was marked to boot next; the one that runs needs no answer from a boot.
    pub fn marked(&mut self, slot: &SlotName, slots: &Slots, boot: &str) {
        self.mark = (*slot != slots.booted).then(|| Mark { slot: slot.clone(), boot: boot.into() });
    }

    /// Forgets every slot but `booted`: one of them is about to be overwritten.
    pub fn forget_but(&mut self, booted: &SlotName) {
        self.slots.retain(|slot, _| slot == booted);
        self.mark = None;
    }
}

/// The ledger on disk.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    /// As last written.
    pub entries: Entries,
}

impl Ledger {
    /// Reads the ledger in `folder`. A damaged one is set aside: the worst that follows is one needless installation.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join(NAME);
        let failed = |verb| {
            let path = path.clone();
            move |source| LedgerError { verb, path, source }
        };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { path, entries: Entries::default() });
            }
            Err(error) => return Err(failed("read")(error)),
        };
        let entries = match serde_json::from_slice(&text) {
            Ok(entries) => entries,
            Err(error) => {
                let aside = path.with_extension("damaged");
                tracing::warn!(%error, path = %aside.display(), "the ledger is damaged and was set aside");
                std::fs::rename(&path, aside).map_err(failed("set aside"))?;
                Entries::default()
            }
        };
        Ok(Self { path, entries })
    }

    /// Changes the entries.
    ///
    /// # Durability
    /// On disk when it returns; on an error the old ones stand.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn change(&mut self, change: impl FnOnce(&mut Entries)) -> Result<(), LedgerError> {
        let mut entries = self.entries.clone();
        change(&mut entries);
        if entries != self.entries {
            let failed = |source| LedgerError { verb: "write", path: self.path.clone(), source };
            let text = serde_json::to_vec_pretty(&entries).map_err(|error| failed(error.into()))?;
            atomic_file::replace(&self.path, &text).map_err(failed)?;
            self.entries = entries;
        }
        Ok(())
    }
}
