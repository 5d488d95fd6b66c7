//! What the scenario tests are made of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this crate is only ever part of a test")]

pub mod appliance;
pub mod authority;
pub mod depot;
pub mod endurance;
pub mod http;
pub mod large;
pub mod namespace;
pub mod openapi;
pub mod repository;
pub mod state_folder;
