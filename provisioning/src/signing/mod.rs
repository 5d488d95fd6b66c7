//! From a plan to a published state: drafts, the signatures of persons, then snapshot and timestamp.
//!
//! Persons sign the targets roles, at their own machines if they like ([`request`]): each compares the request with what
//! her own site folder gives ([`proposal`], [`comparison`]), or reads all of it ([`listing`]). The machine that holds the
//! snapshot and timestamp keys finishes ([`publication`]): the snapshot lists the digests of the signed files, so it
//! cannot be signed before them.

pub(crate) mod comparison;
pub(crate) mod listing;
pub(crate) mod proposal;
pub(crate) mod publication;
pub(crate) mod request;

pub(crate) use proposal::Proposal;
pub(crate) use publication::Publication;
pub(crate) use request::{Contribution, Request, RequestError};
