//! The local API: HTTP/1.1, JSON and server-sent events on unix sockets, one a role.
//!
//! ```text
//!  socket of a role ──▶ server ──▶ connection ──▶ router ──▶ order ──▶ call ──▶ the loop that owns the state
//!   mode, group, peer               limits         ROUTES     body               │
//!                                      ▲                                         │ publishes
//!                                      └── follow (events) ◀──────── hub ◀───────┘
//! ```
//!
//! [`routes::ROUTES`] is the one table of what there is; `docs/api.md` shows it in use, `docs/openapi.json` describes
//! it. A refusal is a `Failure`: code, what, why, remedy.
//!
//! `POST /v1/bundles` may name a path, and the agent opens it itself: only the agent's own user, root and the admin
//! group get past that socket, so nobody reads anything through it that he could not have the agent import anyway.
//!
//! A command without a daemon asks the same [`call::Call`]s of a loop it hosts itself: what it prints is the same.

pub mod answer;
mod body;
pub mod call;
mod caller;
pub mod client;
mod connection;
mod discretion;
pub mod event;
mod file;
mod follow;
pub mod hub;
mod log;
pub mod openapi;
mod order;
mod patience;
mod peer;
mod places;
mod range;
mod refusal;
mod remote;
mod reply;
mod resumed;
mod router;
pub mod routes;
mod server;
mod spool;
mod upload;

pub use hub::Hub;
pub use remote::{LetOut, Remote};
pub use server::{ServerError, Sockets};
pub use spool::Spool;
