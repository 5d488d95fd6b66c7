//! What the parent asks of a child.

use casemate_protocol::bundle::appraisal::Device;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::role::Version;
use casemate_protocol::tuf::time::{Clock, UtcTime};

/// The state a bundle is judged against.
#[derive(Clone, Debug)]
pub struct Order {
    /// Root, floors and cached metadata.
    pub stored: Stored,
    /// Who asks.
    pub device: Device,
    /// The clock.
    pub clock: Clock,
    /// Bytes of the staging file system to leave free.
    pub reserve: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of content staged.
    pub done: u64,
    /// Bytes of content to stage; known before the first is written.
    pub total: u64,
}

/// What a bundle is, before any content is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Version of its timestamp.
    pub timestamp: Version,
    /// When that was signed.
    pub signed_at: UtcTime,
    /// SHA-256 of its snapshot.
    pub snapshot: Digest,
}
