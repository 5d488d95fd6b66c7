//! What is remembered of a repository between two looks, for as long as the process lives.

use std::collections::BTreeSet;
use std::time::Duration;

use casemate_protocol::code::{Class, Code};
use casemate_protocol::digest::Digest;
use tokio::time::Instant;

use super::errand::Edition;

/// How long what was refused is not brought again, unless the repository has changed.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is remembered of a repository.
#[derive(Debug, Default)]
pub(super) struct Memory {
    settled: Option<Edition>,
    refused: Option<(Edition, Digest, Instant)>,
    /// Parts that were not what is signed when they last came.
    pub(super) suspects: BTreeSet<Digest>,
}

impl Memory {
    /// The edition that was taken in without fault: nothing has to be asked about it.
    pub(super) const fn settled(&self) -> Option<Edition> {
        self.settled
    }

    /// Whether just this was refused lately.
    pub(super) fn is_refused(&self, edition: Edition, head: Digest, now: Instant) -> bool {
        let lately = |(known, content, at): (Edition, Digest, Instant)| {
            known == edition && content == head && now.saturating_duration_since(at) < PATIENCE
        };
        self.refused.is_some_and(lately)
    }

    /// The whole of an edition was handed over, and this became of it.
    pub(super) fn record(&mut self, edition: Edition, head: Digest, code: Code, now: Instant) {
        match code.class() {
            Class::Done => (self.settled, self.refused) = (Some(edition), None),
            // An owner may be repaired under the same timestamp; then the head is another one.
            Class::Refused => self.refused = Some((edition, head, now)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use casemate_protocol::tuf::role::Version;

    use super::*;

    #[test]
    fn a_refusal_is_brought_again_when_something_changed_or_after_a_day() {
        let now = Instant::now();
        let edition = Edition { timestamp: Digest::of(b"1"), root: Version::FIRST };
        let (head, other) = (Digest::of(b"head"), Digest::of(b"other"));
        let mut memory = Memory::default();
        memory.record(edition, head, Code::OwnerUnverified, now);
        assert!(memory.is_refused(edition, head, now) && memory.settled().is_none());
        assert!(!memory.is_refused(edition, other, now), "an owner was repaired");
        assert!(!memory.is_refused(Edition { timestamp: other, ..edition }, head, now));
        assert!(!memory.is_refused(edition, head, now + PATIENCE), "the clock may have been set meanwhile");
        memory.record(edition, head, Code::IntakeFailed, now);
        assert_eq!(memory.settled(), None);
        memory.record(edition, head, Code::Applied, now);
        assert_eq!(memory.settled(), Some(edition));
    }
}
