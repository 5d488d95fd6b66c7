//! The private keys at hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use casemate_protocol::canonical::JsonError;
use casemate_protocol::keys::{KeyId, Signature};
use casemate_protocol::signed;
use serde::Serialize;

use super::file::{FileKey, KeyError};

/// Private keys by key id.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    keys: BTreeMap<KeyId, FileKey>,
}

impl Keyring {
    /// Every `*.key` of a folder.
    ///
    /// # Errors
    /// The folder cannot be read, or one of the keys cannot be used.
    pub(crate) fn read(folder: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        Self::of(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "key")))
    }

    /// The keys of these files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn of(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self, KeyError> {
        let mut keyring = Self::default();
        for path in paths {
            keyring.add(FileKey::read(&path)?);
        }
        Ok(keyring)
    }

    /// Adds a key.
    pub(crate) fn add(&mut self, key: FileKey) {
        self.keys.insert(key.keyid().clone(), key);
    }

    /// The key ids at hand.
    pub(crate) fn keyids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.keys()
    }

    /// Signatures over `signed` by every key at hand that is among `allowed`.
    ///
    /// # Errors
    /// `signed` has no canonical form.
    pub(crate) fn sign(&self, signed: &impl Serialize, allowed: &[KeyId]) -> Result<Vec<Signature>, JsonError> {
        let usable = self.keys.values().filter(|key| allowed.contains(key.keyid()));
        usable.map(|key| signed::sign(signed, key.keyid().clone(), |message| key.sign(message))).collect()
    }
}
