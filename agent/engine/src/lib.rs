//! Casemate's decisions, as pure functions: state and event in, state and effects out.
//!
//! No file, no socket, no clock, no async: whoever calls [`update::step`] journals what it returns, performs the
//! effects and feeds back what came of them. That order is the whole of crash safety, see [`update`].

pub mod boundary;
pub mod health;
pub mod time;
pub mod update;
