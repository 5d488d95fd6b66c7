//! Appliances: their names, their keys and how they join.

pub mod assignment;
pub mod certificate_name;
pub mod enrolment;
pub mod id;
pub mod key;
pub mod transport;
pub mod words;
