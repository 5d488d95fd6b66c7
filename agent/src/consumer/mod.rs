//! The consumer helper: makes any systemd service a consumer, without code of its own.
//!
//! It runs as root, apart from the agent, and opens nothing of the agent's but its consumer socket. What it may touch
//! stands in the image, not in a bundle: one file a consumer under `/etc/casemate/consumers.d` ([`allow_list`]). For
//! every consumer with a `unit` that a current generation declares, and whenever anything moved, it does what is still
//! to be done ([`act`]): links set, content validated, unit reloaded or restarted, outcome reported.
//!
//! It looks at what is, not at what happened: each event, and each new connection, only says that the tree has to be
//! read again. So a missed event, a restart of either side or a power cut in the middle needs no case of its own.
//!
//! | file | what |
//! |---|---|
//! | [`allow_list`] | what the image allows |
//! | [`task`] | what the current generations ask |
//! | [`act`] | one task, from links to unit |
//! | [`link`], [`child`], [`mod@unit`] | its three steps: symlinks, the validate command, `systemctl` |
//! | [`trusted`] | paths that only root can change |
//! | [`memory`] | what each unit runs with, so that it is not touched twice |
//! | [`api`], [`follow`] | the socket and the loop |

pub mod act;
pub mod allow_list;
pub mod api;
pub mod child;
pub mod follow;
pub mod link;
pub mod memory;
pub mod task;
pub mod trusted;
pub mod unit;

pub use follow::{Follower, Options};
