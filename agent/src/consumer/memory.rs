//! What each unit runs with, so that none is touched without need: not by a generation that leaves its files alone,
//! and not because the helper or the appliance started again.
//!
//! It may be lost at any time; then every unit takes its files up once more, which changes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use serde::{Deserialize, Serialize};

/// Where it stands unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/var/lib/casemate-consumer/units.json";
/// Longest file read, bytes: 256 consumers of a few owners each.
const MAX_LENGTH: u64 = 1024 * 1024;

/// What one unit has of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// It took up the files of this fingerprint.
    Up(Digest),
    /// It was being touched, and nobody knows how that ended.
    Unknown,
}

type Units = BTreeMap<Name, BTreeMap<Owner, Taken>>;

/// The memory, and the file it is kept in.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    units: Units,
}

impl Memory {
    /// Reads what is there; nothing, if it cannot be read.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let units = match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() <= MAX_LENGTH => read(path),
            Ok(_) => Err(std::io::ErrorKind::FileTooLarge.into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Units::new()),
            Err(error) => Err(error),
        };
        let units = units.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "what units run with is forgotten; each is told once more");
            Units::new()
        });
        Self { path: path.into(), units }
    }

    /// What `consumer` has of `owner`; nothing if it was never told of it.
    #[must_use]
    pub fn of(&self, consumer: &Name, owner: &Owner) -> Option<Taken> {
        self.units.get(consumer)?.get(owner).copied()
    }

    /// Every pair there is something of.
    #[must_use]
    pub fn pairs(&self) -> Vec<(Name, Owner)> {
        let pair = |(name, owners): (&Name, &BTreeMap<Owner, Taken>)| {
            owners.keys().map(|owner| (name.clone(), owner.clone())).collect::<Vec<_>>()
        };
        self.units.iter().flat_map(pair).collect()
    }

    /// Notes what `consumer` has of `owner`; `None`: nothing any more.
    ///
    /// # Durability
    /// When it returns, unless the file cannot be written, which is said in the log and changes nothing else.
    pub fn note(&mut self, consumer: &Name, owner: &Owner, taken: Option<Taken>) {
        if self.of(consumer, owner) == taken {
            return;
        }
        let owners = self.units.entry(consumer.clone()).or_default();
        match taken {
            Some(taken) => drop(owners.insert(owner.clone(), taken)),
            None => drop(owners.remove(owner)),
        }
        self.units.retain(|_, owners| !owners.is_empty());
        if let Err(error) = self.write() {
            tracing::warn!(path = %self.path.display(), %error, "what units run with cannot be kept over a restart");
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let next = self.path.with_extension("next");
        let mut file = File::create(&next)?;
        file.write_all(&serde_json::to_vec(&self.units)?)?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)?;
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

fn read(path: &Path) -> std::io::Result<Units> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("units.json");
        let (nginx, clinics): (Name, Owner) = ("nginx".parse().unwrap(), "group.clinics".parse().unwrap());
        let up = Taken::Up(Digest::of(b"files"));
        let mut memory = Memory::open(&path);
        memory.note(&nginx, &clinics, Some(Taken::Unknown));
        assert_eq!(Memory::open(&path).of(&nginx, &clinics), Some(Taken::Unknown));
        memory.note(&nginx, &clinics, Some(up));
        let again = Memory::open(&path);
        assert_eq!((again.of(&nginx, &clinics), again.pairs().len()), (Some(up), 1));
        memory.note(&nginx, &clinics, None);
        assert!(Memory::open(&path).pairs().is_empty());
    }

    #[test]
    fn a_torn_memory_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("units.json");
        std::fs::write(&path, "{\"nginx\":").unwrap();
        assert!(Memory::open(&path).pairs().is_empty());
    }
}
