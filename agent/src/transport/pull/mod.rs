//! Bundles from a repository: plain TUF over HTTPS, from any server of static files.
//!
//! ```text
//!  schedule ──▶ visit ──▶ errand (no I/O): what to ask next, what an answer means
//!                 │  ▲
//!                 ▼  │ files
//!               route ──▶ line ──▶ tls ──▶ door          (a connection a look; a part goes on where it broke off)
//!                 │
//!                 ▼ archive, as on a stick
//!               pipe ──▶ the loop ──▶ the sandboxed reader
//! ```
//!
//! What is asked for is found with the judge that reads bundles; what comes is judged by it again, in its sandbox.
//! Redirects, `Alt-Svc`, `Link`, `Refresh`, cookies and compression lead nowhere; there are no proxies.

mod ask;
mod errand;
mod error;
mod line;
mod memory;
mod route;
mod run;
mod schedule;
mod sink;
mod visit;

pub use run::{Limits, run, run_within};
