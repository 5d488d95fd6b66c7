//! What the appliance states about itself: receipts, health, the Merkle tree of its journal.

pub mod crc;
pub mod dsse;
pub mod frame;
pub mod health;
pub mod merkle;
pub mod receipt;
