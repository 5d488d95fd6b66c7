//! Appliances: their names and how they join.

pub mod assignment;
pub mod enrolment;
pub mod id;
