//! The store as the engine's driver sees it.

use casemate_engine::update::{Generation, State};
use casemate_protocol::bundle::manifest::Manifest;
use casemate_protocol::bundle::part::object_id;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Owner;
use casemate_protocol::evidence::receipt::OwnerOutcome;
use thiserror::Error;

use super::keeper::Keeper;
use super::news;
use crate::apply::{Change, Ledger, TreeFile};
use crate::local_api::event::EventKind;
use crate::local_api::hub::Hub;
use crate::store::{Record, Stamp, Store, StoreError};

/// Why a change could not be recorded, or a generation not be described.
#[derive(Debug, Error)]
pub(super) enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored manifest cannot be read back; it was verified before it was stored.
    #[error("the stored manifest of {owner} cannot be read back")]
    Manifest {
        /// Whose.
        owner: Owner,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Explain for LedgerError {
    fn code(&self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Manifest { .. } => Code::StateDamaged,
        }
    }
}

/// The store, and what has to be recorded together with the first change: trust and floors move in the same
/// transaction as the first owner, or not at all.
pub(super) struct StoreLedger<'a> {
    pub(super) store: &'a mut Store,
    pub(super) hub: &'a Hub,
    /// What is told together with the first change.
    pub(super) ahead: &'a mut Vec<EventKind>,
    pub(super) stamp: Stamp,
    pub(super) first: Vec<Record>,
}

impl Keeper {
    /// The ledger of one journey; `first` is recorded with its first change.
    pub(super) fn ledger(&mut self, stamp: Stamp, first: Vec<Record>) -> StoreLedger<'_> {
        StoreLedger { store: &mut self.store, hub: &self.hub, ahead: &mut self.ahead, stamp, first }
    }
}

impl Ledger for StoreLedger<'_> {
    type Error = LedgerError;

    fn state(&self, owner: &Owner) -> State {
        self.store.state().owners.get(owner).cloned().unwrap_or_default()
    }

    fn journal(&mut self, changes: Vec<Change>) -> Result<(), LedgerError> {
        let mut records = std::mem::take(&mut self.first);
        records.extend(changes.into_iter().map(|change| match change {
            Change::Moved { owner, state } => Record::Owner { owner, state },
            Change::Settled { owner, settlement } => Record::Outcome(OwnerOutcome {
                id: owner,
                code: settlement.code,
                before: settlement.before,
                after: settlement.after,
            }),
        }));
        if records.is_empty() {
            return Ok(());
        }
        let news = news::of(|owner| self.state(owner), &records);
        let position = self.store.commit(self.stamp, &records)?;
        let news = std::mem::take(self.ahead).into_iter().chain(news);
        self.hub.publish(position.size, news);
        Ok(())
    }

    fn files(&self, owner: &Owner, generation: &Generation) -> Result<Vec<TreeFile>, LedgerError> {
        let manifest = manifest(self.store, owner, generation)?;
        let object = |parts: &[_]| self.store.objects().path(&object_id(parts));
        Ok(manifest
            .files
            .iter()
            .map(|file| TreeFile { path: file.path.clone(), object: object(&file.parts) })
            .collect())
    }
}

/// A generation's manifest.
pub(super) fn manifest(store: &Store, owner: &Owner, generation: &Generation) -> Result<Manifest, LedgerError> {
    let raw = store.objects().read(&generation.manifest)?;
    serde_json::from_slice(&raw).map_err(|source| LedgerError::Manifest { owner: owner.clone(), source })
}
