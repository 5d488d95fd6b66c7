//! What an appliance saw go beyond its boundary, and the flows that would allow it: a proposal for people to judge.
//!
//! [`row`] reads what `casemate-agent boundary show --json` prints, [`proposal`] groups it and asks the envelope,
//! [`text`] writes it as TOML that `casemate boundary check` accepts. All of it was written on an appliance by whoever
//! sends packets there: nothing of it is taken for more than a hint.

pub(crate) mod proposal;
pub(crate) mod row;
mod text;

pub(crate) use proposal::Proposal;
