//! Bundles: a slice of the repository as an archive, and the judge that reads it back.
//!
//! [`contents`] selects members in the format's order, [`archive`] writes them, [`judge`] runs the appliance's own
//! verifier over them before anybody else sees them, [`bounded`] tells what it says about boundaries. [`tree`] writes the whole
//! repository for a web server instead.

pub(crate) mod archive;
pub(crate) mod bounded;
pub(crate) mod contents;
pub(crate) mod judge;
pub(crate) mod reading;
pub(crate) mod tree;

pub(crate) use contents::{Contents, Selection};
