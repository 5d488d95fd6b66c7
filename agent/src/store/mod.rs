//! The state folder: journal first, sled beside it, objects below.
//!
//! | file | what |
//! |---|---|
//! | `journal/` | append-only segments and two alternating checkpoints: audit log and write-ahead log at once |
//! | `copy/` | sled: the second, independent copy of what must never fall back |
//! | `objects/` | content-addressed files: raw metadata, manifests, parts, receipts |
//! | `staging/` | where intake writes before anything is adopted; verified objects of an incomplete bundle stay until one is applied |
//! | `lock` | held by the one process that owns the folder |
//!
//! Nothing is acknowledged before the journal holds it durably. A failed journal write ends all acknowledgements of
//! the process. The sled copy follows the journal and is never read to decide anything but "was there more than the
//! journal remembers": it can be lost and rebuilt at any time.

mod error;
mod folder;
mod journal;
mod kept_floors;
mod lock;
mod objects;
mod record;
mod small_state;
mod standing;
mod state;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use folder::{Options, Recovery, Stamp, Store};
pub use journal::Damage;
pub use kept_floors::KeptFloors;
pub use objects::Objects;
pub use record::{Accepted, Record, Taker};
pub use small_state::{
    Enrolment, Identity, KeptTransport, Notice, OpenBundle, OutboxEntry, Refusal, SmallState, Stopped, Trust,
};
pub use standing::{BoundaryDocuments, BoundaryMoved, BoundaryStanding, LastChange};
pub use state::probe;
