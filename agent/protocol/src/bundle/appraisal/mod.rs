//! The appraisal: whether a bundle may be believed, what in it is wanted, and by whom.
//!
//! One judge, without I/O, used three times: by the sandboxed reader while the bundle streams by, by its parent over
//! what the reader handed up, and by the control plane before it packs. It reads members in the one order
//! `docs/format.md` gives, drives the TUF client over the metadata, and says of every object beforehand how long it
//! is and what it hashes to.
//!
//! ```text
//! let mut appraisal = Appraisal::new(client, Audience::Appliance(device));
//! for each member of the archive, and once for its end:
//!     match appraisal.member(Some(&member))? {
//!         Disposition::Read       => appraisal.content(&all of its bytes)?,
//!         Disposition::Stage(at)  => write and hash it; appraisal.staged(&digest),
//!         Disposition::Skip       => let it go by,
//!         Disposition::Settle     => for wanted in appraisal.wanted() { appraisal.hold(…) }; appraisal.settle(); ask again
//!     }
//! let verdict = appraisal.finish()?;
//! ```

mod addressing;
mod boundary;
mod case;
mod catalogue;
mod judge;
mod owners;
mod presumes;
mod refusal;
mod request;
mod stage;
mod verdict;

pub use boundary::{BoundaryRefusal, BoundaryVerdict, Papers, SignedBoundary};
pub use case::MAX_WANTED_PARTS;
pub use judge::{Appraisal, Audience};
pub use owners::parse as parse_manifest;
pub use presumes::{MAX_PRESUMED, MAX_PRESUMES, Presumes};
pub use refusal::{OwnerRefusal, Refusal};
pub use request::{Piece, Request};
pub use stage::is_read_whole;
pub use verdict::{
    Addressee, Device, Disposition, Inspection, OwnerManifest, OwnerVerdict, Placement, Trust, Unverified, Verdict,
    Wanted,
};
