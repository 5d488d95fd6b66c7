//! How bundles get here. A stick, so far.

pub mod stick;
