//! What stands behind the transports: the door out, and the way to the loop that owns the state.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use casemate_protocol::bundle::appraisal::Device;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;
use casemate_protocol::tuf::client::Stored;
use casemate_protocol::tuf::time::Clock;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::boundary::connect::Door;
use crate::exit::Failure;

/// What a transport works with. Clones lead to the same loop.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The way to peers of the policy in force.
    pub door: Door,
    /// Where a transport may keep what it has received so far: a folder of its own, mode 0700, emptied by nobody else.
    pub spool: PathBuf,
    /// Bytes of the spool's disk that stay free whatever arrives.
    pub reserve: u64,
    /// Where orders go.
    pub orders: mpsc::Sender<Order>,
    /// Rung when a broker has announced what is too large for it: whoever pulls looks at the repository now.
    pub look: Arc<Notify>,
    /// What there is to say: so that nobody has to ask again and again.
    pub news: watch::Receiver<News>,
}

/// What there is to say to peers. A number that has changed says that there is something; by how much says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Changes when a receipt was written.
    pub receipts: u64,
    /// Changes with the state that health reports.
    pub health: u64,
    /// Changes when something has begun to wait for a round trip with the control plane.
    pub round_trip: u64,
}

/// What a transport asks of the loop. Whoever asked may have left before the answer.
#[derive(Debug)]
pub enum Order {
    /// Import one bundle; answered when it is judged, not when its trial is over.
    Import {
        /// Where its bytes are.
        bundle: Source,
        /// How it came.
        transport: Transport,
        /// What became of it.
        reply: oneshot::Sender<Result<Arrived, Failure>>,
    },
    /// What a repository's metadata is judged against.
    Standing {
        /// Root, floors, cached metadata; who asks; the clock.
        reply: oneshot::Sender<Result<Box<Standing>, Failure>>,
    },
    /// What is here already of an object, so that it need not be fetched.
    Held {
        /// Its id.
        object: Digest,
        /// Its length, bytes.
        length: u64,
        /// What is here.
        reply: oneshot::Sender<Held>,
    },
    /// The health report, signed and released.
    Health {
        /// Canonical JSON of the envelope and a line end.
        reply: oneshot::Sender<Result<Vec<u8>, Failure>>,
    },
    /// Receipts nobody has taken home, oldest first, released.
    Receipts {
        /// Only those numbered higher.
        after: u64,
        /// How many at most.
        most: usize,
        /// Number and envelope of each.
        reply: oneshot::Sender<Result<Numbered, Failure>>,
    },
    /// A receipt is home: whoever took it has acknowledged it.
    Delivered {
        /// Its number.
        sequence: u64,
        /// By whom.
        peer: Name,
    },
    /// A peer with a pinned key has answered a request of ours: the control plane is reached.
    RoundTrip {
        /// Which.
        peer: Name,
        /// When the request was sent: what has waited since later waits on.
        began: Instant,
    },
    /// Something of a peer is to be remembered: journalled once a day for each peer and code, however often it happens.
    /// That it is not reached, or not trusted, belongs here: it counts as down until its next round trip.
    Noticed {
        /// Whose.
        peer: Name,
        /// What.
        code: Code,
    },
}

/// Receipts: number and envelope of each.
pub type Numbered = Vec<(u64, Vec<u8>)>;

/// Where a bundle's bytes are.
#[derive(Debug)]
pub enum Source {
    /// A file in the spool; it may be removed once the order is answered.
    File(PathBuf),
    /// The reading end of a pipe.
    Stream(File),
}

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The overall code; `probation` or `waiting` while no receipt can be written yet.
    pub code: Code,
    /// Number of its receipt, if there is one already.
    pub receipt: Option<u64>,
}

/// What a repository's metadata is judged against: as a bundle's.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Root, floors and cached metadata.
    pub stored: Stored,
    /// Who asks.
    pub device: Device,
    /// The clock.
    pub clock: Clock,
}

/// What is here of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// All of it.
    Whole,
    /// These of its parts, by index; none if nothing is here.
    Parts(Vec<usize>),
}
