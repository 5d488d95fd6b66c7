//! Scenario tests: whole paths through real code, one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking, also in what is shared between them"
)]

mod addressing; // whom a bundle is for, and when
mod archive; // archives that are not as packed
mod boundary; // boundaries in bundles, from the stick to the policy in force
mod boundary_documents; // boundary documents in bundles: what the judge makes of them
mod boundary_trial; // the boundary on an appliance: in force, on trial, given up, restarted for
mod clock; // 1970, 2038, ten years ahead and back
mod confinement; // what the kernel refuses the agent's own process, really tried
mod consumer; // services reconfigured by bundles: a real nginx, and the page's examples
mod daemon; // the real program: socket, signals, users, kill -9
mod disorder; // bundles, reports, time and restarts in any order
mod door; // whom the agent connects to
mod enforcer; // the boundary in the kernel: attacks on the enforcer, frames on the wire
mod enrolment; // request, grant, words
mod firmware; // slots: kill -9 at any moment, the order of flushes
mod firmware_service; // firmware from a bundle to its slot, with the real agent
mod first_bundle; // enrolment to receipt, and every ordinary refusal
mod golden; // state of the first format
mod intake; // the caged child over real files
mod judge; // one bundle through the judge, shared by the others
mod listening; // what ss sees of the agent
mod local_api; // every route against its description; the session of docs/api.md
mod local_sockets; // the local API: roles, ranges, events, limits
mod mqtt; // bundles, receipts and health through a real Mosquitto
mod neighbours; // what one owner signs about another's content
mod offer; // what the host's enforcer believes of what the agent hands to it
mod offline; // 400 days without anybody, then one stick
mod power; // kill -9 at any moment
mod precedence; // who waits for whom: people before the network, a restart, a full disk
mod probation; // a generation on trial: confirmed, undone, superseded
mod pull; // bundles from a web server: real, slow, broken or hostile
mod push; // the listener: certificates, roles, uploads by offset, abuse
mod revocation; // certificates revoked in bundles, and lists that cannot be used
mod service; // under a service manager; the environment
mod state; // lost, rotten and disagreeing copies; a full disk
mod sticks; // one bundle over several sticks
mod transports; // the same bundle by stick, push, pull and MQTT
mod vectors; // golden bundles
mod watch; // packets a real packet filter dropped, told of

/// The agent's executable.
const AGENT: &str = env!("CARGO_BIN_EXE_agent-under-test");
