//! The appraisal: whether a bundle may be believed, what in it is wanted, and by whom.
//!
//! One judge, without I/O, used three times: by the sandboxed reader while the bundle streams by, by its parent over
//! what the reader handed up, and by the control plane before it packs. It reads members in the one order
//! `docs/format.md` gives, drives the TUF client over the metadata, and says of every object beforehand how long it
//! is and what it hashes to.

mod refusal;
mod verdict;

pub use refusal::{OwnerRefusal, Refusal};
pub use verdict::{Addressee, Device, Disposition, OwnerManifest, OwnerVerdict, Placement, Trust, Verdict, Wanted};
