//! The bundle: an archive with a slice of a TUF repository and its target files.

pub mod appraisal;
pub mod archive;
pub mod manifest;
pub mod part;
pub mod probe;
pub mod target_path;
pub mod terms;
pub mod window;
