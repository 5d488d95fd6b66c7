//! What is left with a broker: the chunks of a bundle, and, last, the announcement that names them.

use std::io::{Read, Write};

use bytes::Bytes;
use casemate_protocol::broker::{Announce, CHUNK_LENGTH, Chunked, Scope, Topic, filter_of_others};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::Version;

use super::error::BrokerError;
use super::session::Session;

/// What is left.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    announce: Announce,
    chunks: Vec<Bytes>,
}

impl Publication {
    /// A bundle in chunks.
    ///
    /// # Errors
    /// It is empty or too long.
    pub(crate) fn of(bundle: Vec<u8>, timestamp: Version) -> Result<Self, BrokerError> {
        let whole = Bytes::from(bundle);
        let starts = (0..whole.len()).step_by(CHUNK_LENGTH as usize);
        let chunks: Vec<_> =
            starts.map(|start| whole.slice(start..whole.len().min(start + CHUNK_LENGTH as usize))).collect();
        let digests = chunks.iter().map(|chunk| Digest::of(chunk)).collect();
        let chunked = Chunked::of(Digest::of(&whole), whole.len() as u64, timestamp, digests)?;
        Ok(Self { announce: Announce::Chunked(chunked), chunks })
    }

    /// Word of a bundle that is to be pulled.
    pub(crate) fn pull(timestamp: Version) -> Self {
        Self { announce: Announce::Pull { timestamp }, chunks: Vec::new() }
    }

    /// SHA-256 of the bundle, unless it is to be pulled.
    pub(crate) fn bundle(&self) -> Option<Digest> {
        match &self.announce {
            Announce::Chunked(chunked) => Some(chunked.bundle),
            Announce::Pull { .. } => None,
        }
    }

    /// How many chunks.
    pub(crate) fn count(&self) -> usize {
        self.chunks.len()
    }

    /// Leaves it for `scope`: the announcement only after the broker has acknowledged every chunk, so that nobody is told
    /// of what is not there.
    ///
    /// # Errors
    /// The connection fails, or the broker does not take something.
    pub(crate) fn leave<S: Read + Write>(
        &self,
        session: &mut Session<S>,
        scope: &Scope,
        expiry: u32,
        seen: &mut dyn FnMut(u64),
    ) -> Result<(), BrokerError> {
        for (index, chunk) in self.chunks.iter().enumerate() {
            let bundle = self.bundle().unwrap_or_else(|| Digest::of(b""));
            session.retain(&Topic::Chunk(scope, bundle, index).to_string(), chunk.clone(), Some(expiry))?;
            seen(chunk.len() as u64);
        }
        session.settle()?;
        session.retain(&Topic::Announce(scope).to_string(), self.announce.encode().into(), Some(expiry))?;
        session.settle()
    }

    /// Clears the chunks of every other bundle left for `scope`; answers how many there were.
    ///
    /// # Errors
    /// The connection fails, or the broker does not let us.
    pub(crate) fn clean<S: Read + Write>(&self, session: &mut Session<S>, scope: &Scope) -> Result<usize, BrokerError> {
        let mine = self.bundle().map(|bundle| format!("{scope}/bundles/{bundle}/"));
        let held = session.retained(&filter_of_others(scope))?;
        let old: Vec<_> =
            held.iter().filter(|topic| mine.as_ref().is_none_or(|mine| !topic.starts_with(mine))).collect();
        for topic in &old {
            session.retain(topic, Bytes::new(), None)?;
        }
        session.settle()?;
        Ok(old.len())
    }
}
