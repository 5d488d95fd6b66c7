//! Tells of packets that the host's rules stopped: who sent them, where to, how often.
//!
//! The rules log to a netlink group what they drop ([`GROUP`]). [`watch`] counts it in a bounded table and writes that to
//! a file of its own folder; the agent reads it. The watcher binds the group, then gives up every right: afterwards it
//! can read that group, ask whose socket it was, read control groups' names, and write its file.

mod attributes;
mod headers;
mod netlink;
mod packet;
mod socket_owner;
mod table;
mod unit;
mod watcher;

pub use netlink::GROUP;
pub use watcher::{WatchError, watch};
