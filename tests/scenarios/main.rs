//! Scenario tests: whole paths through real code, one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking, also in what is shared between them"
)]

mod addressing; // whom a bundle is for, and when
mod archive; // archives that are not as packed
mod intake; // the caged child over real files
mod judge;
