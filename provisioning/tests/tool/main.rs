//! The tool as its users run it: commands on a real folder, one scenario a test.
//!
//! - `scene`: a folder, the program, appliances that ask to join
//! - `journey`: from `init` to a verified receipt
//! - `plan`: rendering, staleness, what signers are shown
//! - `ceremony`: two persons, thresholds, requests and signatures
//! - `foureyes`: the second signer signs what her own site folder gives, or reads everything
//! - `writers`: concurrent and interrupted writers
//! - `bundles`: what is packed, for whom, and what `inspect` says
//! - `boundary`: what may be exchanged with whom, and what signers are shown of it
//! - `broker`: bundles left with a real Mosquitto
//! - `certificates`: the authority, what it issues and revokes, and that OpenSSL reads it as we do
//! - `trees`: the repository as a web server's folder
//! - `words`: help, man pages, completions, errors

#![expect(clippy::unwrap_used, clippy::panic, reason = "what the tests share fails as tests fail")]

mod boundary;
mod broker;
mod bundles;
mod ceremony;
mod certificates;
mod foureyes;
mod journey;
mod plan;
mod scene;
mod trees;
mod words;
mod writers;
