//! Keys and signatures.
//!
//! A [`KeyDocument`] is text somebody wrote; a [`PublicKey`] is what that text means, tagged with its algorithm. Only
//! algorithms named here can verify anything: a key of another one is carried along and never counts.

mod der;
mod document;
mod public;

pub(crate) use document::of_known_shape;
pub use document::{KeyDocument, KeyId, KeyValue, Signature};
pub use public::{Algorithm, KeyError, PublicKey};
