//! Skeleton.

pub mod apply;
pub mod store;
