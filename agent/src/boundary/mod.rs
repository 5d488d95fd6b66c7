//! What may leave the appliance, and what keeps it to that: one door for every connection, and layers around the process.

pub mod confined;
pub mod connect;
pub mod drops;
pub mod enforce;
pub mod force;
pub mod foreign_file;
pub mod handover;
pub mod listen;
pub mod process;
pub mod status;
pub mod watch;
