//! The configuration file: as written ([`mod@file`]), as meant ([`resolved`]).

pub mod file;
pub mod resolved;

pub use file::ConfigError;
pub use resolved::Config;
