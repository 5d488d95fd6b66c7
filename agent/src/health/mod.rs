//! How the appliance is, and whether what was declared about it holds.

mod certificates;
pub mod probe;
mod report;
mod unit;

pub use certificates::Dates;
pub use report::{STALE_AFTER_DAYS, Vitals, report};
