//! What may leave the appliance: so far nothing. Connections are made here and nowhere else.

pub mod connect;
