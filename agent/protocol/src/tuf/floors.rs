//! Version floors.
