//! The listener, with real clients: who comes in, what he may, bundles that arrive in pieces, and abuse.
//!
//! The agent's loop is hosted here; curl and openssl s_client ask it over loopback, which every boundary lets knock.

mod abuse;
mod admission;
mod knocking;
mod station;
mod uploads;
