//! The local API: HTTP/1.1 and JSON on a unix socket.
//!
//! | route | what |
//! |---|---|
//! | `GET /v1/health` | the health report |
//! | `GET /v1/status` | enrolment, owners and their generations, refusals |
//! | `GET /v1/receipts` | receipts kept here |
//! | `GET /v1/receipts/<n>` | receipt `n` as signed; `POST …/taken` says it has been taken home |
//! | `POST /v1/bundles` | import what stands at a path |
//! | `POST /v1/enrolment/{request,grant,words}` | the three steps of enrolment |
//!
//! A refusal or failure is `{code, message, causes, remedy}`. `POST /v1/bundles` names a path and the agent opens it
//! itself: only the agent's own user and root get past the socket (its mode, then SO_PEERCRED), so nobody reads
//! anything through it that he could not read anyway, and a bundle of any size is not copied through a socket first.
//!
//! A command without a daemon asks the same [`call::Call`]s of a loop it hosts itself: what it prints is the same.

pub mod answer;
pub mod call;
pub mod client;
pub mod event;
pub mod hub;
mod peer;
mod routes;
mod server;

pub use server::{ServerError, Socket};
