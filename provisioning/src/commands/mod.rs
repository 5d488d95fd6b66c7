//! One file a verb.

pub(crate) mod appliance;
pub(crate) mod boundary;
pub(crate) mod ca;
pub(crate) mod check;
pub(crate) mod codes;
pub(crate) mod completions;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod man;
pub(crate) mod pack;
pub(crate) mod plan;
pub(crate) mod publish;
pub(crate) mod receipt;
pub(crate) mod root;
pub(crate) mod sign;
