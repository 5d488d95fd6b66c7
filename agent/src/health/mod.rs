//! How the appliance is, and whether what was declared about it holds.

pub mod probe;
mod report;
mod unit;

pub use report::{STALE_AFTER_DAYS, Vitals, report};
