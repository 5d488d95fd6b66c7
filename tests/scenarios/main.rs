//! Scenario tests: whole paths through real code, one binary.

mod addressing; // whom a bundle is for, and when
mod archive; // archives that are not as packed
mod judge;
