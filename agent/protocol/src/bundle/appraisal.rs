//! Appraisal.
