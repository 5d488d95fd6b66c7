//! The TUF client, sans-IO: it says what it wants, is handed bytes, and states what it accepted.
//!
//! ```text
//! let mut client = Client::new(stored, Rules::Casemate, clock)?;
//! loop {
//!     match client.want() {
//!         Want::Nothing => break,
//!         Want::Metadata { path, max_length, optional, .. } => match fetch(path, max_length) {
//!             Ok(raw) => client.got(&raw)?,
//!             Err(NotFound) => client.absent()?,       // only a definite "there is no such file"
//!             Err(other) => return Err(other),         // a transport error is never "absent"
//!         },
//!     }
//! }
//! match client.lookup("groups/clinics/manifest.json") { Lookup::Wants => /* the loop again */, … }
//! ```
//!
//! The shell chooses when to persist: [`Client::roots`] and [`Client::floors`] are valid after every step.

mod error;
mod machine;
mod want;

pub use error::TufError;
pub use machine::Client;
pub use want::{Lookup, Optional, Rules, Stored, Want};
