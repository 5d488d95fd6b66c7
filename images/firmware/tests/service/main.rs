//! The service against an agent of the test's own making, and against real RAUC.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod bench; // a service, its agent and its slots on a table
mod follow; // events, reports, restarts, what is undone
mod rauc; // real RAUC on a private bus
mod stand_in; // the agent's side of the contract, by hand
