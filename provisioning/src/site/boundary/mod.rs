//! `boundary/`: what appliances may exchange with whom, as an operator writes it.
//!
//! | file | what it is | module |
//! |---|---|---|
//! | `envelope.toml` | how far any boundary may go; root binds it | [`envelope`] |
//! | `<name>.toml` | what appliances with this boundary may do, inside the envelope | [`policy`] |
//!
//! Every entry is judged by the appliance's own rules (`casemate_protocol::boundary`), alone, so that its own line is
//! named. [`binding`] compares the envelope with the root's.

pub(crate) mod binding;
pub(crate) mod envelope;
pub(crate) mod folder;
pub(crate) mod policy;
mod reading;

pub(crate) use envelope::EnvelopeFile;
pub(crate) use folder::Boundaries;
