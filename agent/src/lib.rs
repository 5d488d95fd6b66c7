//! The agent: verified bundles in, signed receipts out, nothing beyond the boundary.
//!
//! Everything meets in [`runtime`], the one loop that owns the state; [`store`], [`apply`], [`outbox`], [`health`],
//! [`transport`] and [`local_api`] do not know each other.

pub mod apply;
pub mod boundary;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod exit;
mod flush;
pub mod health;
pub mod identity;
pub mod intake;
pub mod local_api;
pub mod outbox;
mod pace;
pub mod program;
pub mod runtime;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod transport;
