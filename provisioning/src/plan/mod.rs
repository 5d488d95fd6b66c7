//! The plan: what the site folder says the appliances should get, rendered, checked and compared with what is signed.
//!
//! [`compose`] renders the site, [`change`] compares, [`document`] keeps the outcome under `site/.plan` until it is
//! signed or stale.

pub(crate) mod boundary;
pub(crate) mod change;
pub(crate) mod compose;
pub(crate) mod document;
pub(crate) mod group;
pub(crate) mod object;
pub(crate) mod setting;

pub(crate) use compose::Composition;
pub(crate) use document::Plan;
