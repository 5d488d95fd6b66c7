//! An MQTT broker, as a publisher sees it: bundles in chunks are left there, and nobody has to wait.
//!
//! [`connect`] opens the one connection this program ever makes; [`session`] speaks MQTT 5 over it; [`publication`] is
//! what is left for whom.

pub(crate) mod connect;
mod error;
pub(crate) mod publication;
pub(crate) mod session;
