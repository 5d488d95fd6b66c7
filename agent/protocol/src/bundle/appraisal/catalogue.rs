//! What signed metadata lists, in the order an archive may hold it.

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Refusal;
use crate::bundle::archive::MemberKind;
use crate::digest::Digest;
use crate::tuf::targets::TargetFile;

/// Objects of one section of the archive, in the order of their first target path.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    ranks: BTreeMap<Digest, Entry>,
    last: Option<usize>,
    seen: BTreeSet<Digest>,
}

#[derive(Debug)]
struct Entry {
    rank: usize,
    /// Lengths that signed metadata gives for this digest: one, unless somebody signed nonsense.
    lengths: BTreeSet<u64>,
}

/// Whether objects must stand in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Every declared role verified, so the whole order is known.
    Strict,
    /// Some role did not verify: an object it shares with a verified one may stand earlier than is known here.
    Unknown,
}

impl Catalogue {
    /// A catalogue of `targets`, which must come in path order.
    pub(super) fn of<'a>(targets: impl Iterator<Item = (&'a str, &'a TargetFile)>) -> Self {
        let mut ranks = BTreeMap::new();
        for (rank, (digest, file)) in targets.filter_map(|(_, file)| Some((sha256(file)?, file))).enumerate() {
            let entry = ranks.entry(digest).or_insert_with(|| Entry { rank, lengths: BTreeSet::new() });
            entry.lengths.insert(file.length);
        }
        Self { ranks, last: None, seen: BTreeSet::new() }
    }

    /// Objects for which different lengths are signed.
    pub(super) fn contested(&self) -> BTreeSet<Digest> {
        self.ranks.iter().filter(|(_, entry)| entry.lengths.len() > 1).map(|(digest, _)| *digest).collect()
    }

    /// Whether `digest` is listed.
    pub(super) fn lists(&self, digest: &Digest) -> bool {
        self.ranks.contains_key(digest)
    }

    /// Whether `digest` has come already.
    pub(super) fn has_passed(&self, digest: &Digest) -> bool {
        self.seen.contains(digest)
    }

    /// Takes note of a listed object: it must have a signed length, must not have come before, and must stand in
    /// order.
    pub(super) fn pass(&mut self, digest: &Digest, length: u64, order: Order) -> Result<(), Refusal> {
        let member = || MemberKind::Object { digest: *digest }.to_string();
        let Some(entry) = self.ranks.get(digest) else {
            return Err(Refusal::Unexpected { member: member(), why: "no signed metadata lists it" });
        };
        if !self.seen.insert(*digest) {
            return Err(Refusal::Unexpected { member: member(), why: "it stands in the archive twice" });
        }
        if order == Order::Strict && self.last.is_some_and(|last| last >= entry.rank) {
            return Err(Refusal::Unexpected { member: member(), why: "objects stand in the order of their paths" });
        }
        self.last = Some(entry.rank);
        if entry.lengths.contains(&length) {
            Ok(())
        } else {
            let limit = entry.lengths.last().copied().unwrap_or(0);
            Err(Refusal::Length { member: member(), found: length, limit })
        }
    }
}

/// The digest by which an archive names a target's content. A target without one cannot be in a bundle.
pub(super) fn sha256(file: &TargetFile) -> Option<Digest> {
    file.hashes.get("sha256")?.parse().ok()
}
