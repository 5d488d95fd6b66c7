//! The configuration file: as written ([`mod@file`]), as meant ([`resolved`]).
//!
//! It is read once, at the start: a change takes effect at the next start (`systemctl restart casemate-agent`).
//! SIGHUP ends nothing and changes nothing, so that nobody who sends it in good faith stops the agent. Environment
//! variables are not read.

pub mod boundary;
pub mod file;
pub mod local;
pub mod resolved;
pub mod setting;

pub use boundary::{BoundaryPlaces, Enforcement};
pub use file::ConfigError;
pub use local::{LocalSocket, Role};
pub use resolved::Config;
pub use setting::{Origin, Setting};
