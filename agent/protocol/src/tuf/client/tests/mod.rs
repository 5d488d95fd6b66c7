//! The client against a small repository in memory: every bad input, one sentence each.

mod delegations;
mod freshness;
mod profile;
mod repository;
mod rollback;
mod roots;
mod signatures;
