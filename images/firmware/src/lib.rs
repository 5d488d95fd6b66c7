//! The appliance's firmware service: an ordinary consumer of the agent's local API.
//!
//! It follows the agent's events. When a generation declares the consumer `firmware` and assigns a file to it, the
//! service takes that file, checks it, has a [`slot::SlotWriter`] write it into the slot that does not run, marks that
//! slot to boot next, and reports `ready`; or `failed` with a reason word. When such a generation is undone, the slot
//! that runs is marked again. Nothing here reboots, and nothing judges the firmware after a boot.
//!
//! It talks to the agent's socket and to RAUC's; it never links the agent.

pub mod agent;
pub mod artifact;
mod atomic_file;
pub mod cli;
pub mod config;
pub mod exit;
pub mod ledger;
pub mod reason;
pub mod service;
pub mod settle;
pub mod slot;
pub mod telemetry;
pub mod wish;
