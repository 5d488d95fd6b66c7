//! What passes through a broker: topics, announcements, requests.
//!
//! A broker is never believed: what an announcement says is a hint what to fetch, and every chunk and the bundle they
//! make are judged as if they had come on a stick.

mod announce;
#[cfg(test)]
mod described;
mod request;
mod topic;

pub use announce::{Announce, AnnounceError, CHUNK_LENGTH, Chunked, MAX_ANNOUNCE, MAX_BUNDLE};
pub use request::{Ask, MAX_REQUEST, RequestError};
pub use topic::{PREFIX, Presence, Scope, Topic, answers, filter_of_others, is_answer_topic};
