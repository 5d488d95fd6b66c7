//! What the appliance states about itself: receipts, health, the Merkle tree of its journal.

pub mod dsse;
pub mod health;
pub mod merkle;
pub mod receipt;
