//! Casemate's formats and trust rules.
//!
//! Everything here is a pure function of its arguments: no file, no socket, no clock, no environment, no async
//! (`Cargo.toml` and `clippy.toml` hold the crate to it). The appliance and the control plane run the same
//! code, so the tool's `check` *is* the appliance's verdict.
//!
//! | module | what it knows |
//! |---|---|
//! | [`canonical`] | strict JSON in (no duplicate keys, bounded depth), OLPC canonical JSON out |
//! | [`keys`], [`signed`], [`verify`] | keys, signed documents, the only maker of [`verify::Verified`] |
//! | [`tuf`] | TUF 1.0 metadata and the sans-IO client |
//! | [`bundle`] | the archive, manifests, parts and the appraisal of a whole bundle |
//! | [`boundary`] | envelope, boundary and what remains of it: the policy in force |
//! | [`broker`] | what passes through an MQTT broker: topics, announcements, requests |
//! | [`device`] | appliance ids and enrolment |
//! | [`evidence`] | receipts, health reports, the Merkle tree |
//! | [`code`] | every outcome code, its meaning and its remedy |

pub mod boundary;
pub mod broker;
pub mod bundle;
pub mod canonical;
pub mod code;
pub mod device;
pub mod digest;
pub mod encoding;
pub mod evidence;
pub mod keys;
pub mod signed;
pub mod tuf;
pub mod verify;
