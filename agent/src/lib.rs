//! Skeleton.

pub mod apply;
pub mod intake;
pub mod store;
