//! Slots: the places a system boots from, and who writes them.

mod error;
mod files;
mod installer;
mod last_error;
mod rauc;
mod writer;

pub use error::SlotError;
pub use files::Files;
pub use rauc::Rauc;
pub use writer::{Progress, SlotName, SlotWriter, Slots};
