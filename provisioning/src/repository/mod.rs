//! The TUF repository under `site/repository`: plain TUF 1.0 with consistent snapshots, readable by any TUF client.
//!
//! ```text
//! repository/metadata/<version>.<role>.json   never replaced; timestamps too
//! repository/metadata/timestamp.json          the newest timestamp: the one file that is replaced
//! repository/targets/<folder>/<sha256>.<name> never replaced
//! repository/.lock                            held while somebody writes
//! ```
//!
//! A version number that once stood on disk is never given to other content, published or not.

pub(crate) mod editor;
pub(crate) mod error;
pub(crate) mod founding;
pub(crate) mod lock;
pub(crate) mod place;
pub(crate) mod state;
pub(crate) mod writer;

pub(crate) use editor::{Content, Editor, Renewal};
pub(crate) use error::RepositoryError;
pub(crate) use lock::Lock;
pub(crate) use place::Place;
pub(crate) use state::State;
pub(crate) use writer::Writer;
