//! How bundles get here, and how receipts and health get home: a stick, a listener, a repository, a broker.
//!
//! ```text
//!  stick ───────────────────────────┐
//!  push   tls ◀── who may connect    ├─▶ backend ──▶ the loop that owns the state
//!  pull   tls ──▶ door ──▶ repository│
//!  mqtt   tls ──▶ door ──▶ broker ───┘
//! ```
//!
//! None of them judges a bundle: all hand the same bytes to the same reader. None resolves a name, follows a redirect
//! or reads the environment: whom it talks to stands in the boundary, reached through [`crate::boundary::connect`].

pub mod backend;
pub mod mqtt;
pub mod pull;
pub mod push;
mod space;
pub mod stick;
pub mod tls;
