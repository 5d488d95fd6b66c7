//! What may leave the appliance, and what keeps it to that: one door for every connection, and layers around the process.

pub mod connect;
pub mod drops;
pub mod enforce;
pub mod foreign_file;
pub mod process;
pub mod status;
pub mod watch;
