//! The journal's tree: RFC 6962 over SHA-256.
//!
//! An entry is its header followed by `SHA-256(salt ‖ body)`: a body can be pruned, or withheld from a reader, and the
//! entry still proves its place. Without the salt a short body could be guessed from its digest.
//!
//! # Source
//! RFC 6962 §2.1 (hashing, proofs) and RFC 9162 §2.1.3.2, §2.1.4.2 (verification).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::receipt::ClockQuality;
use crate::digest::{Digest, Hasher};
use crate::tuf::time::UtcTime;

/// Bytes of an entry's header.
pub const HEADER_LEN: usize = 24;
/// Bytes of an entry: header and body digest.
pub const ENTRY_LEN: usize = HEADER_LEN + 32;
/// Bytes of the salt before a body.
pub const SALT_LEN: usize = 16;

/// One entry of the log, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 0: its index in the tree. Order is by this, never by time (R37).
    pub sequence: u64,
    /// Wall-clock time of writing.
    pub wall: UtcTime,
    /// How far that clock could be believed.
    pub clock: ClockQuality,
    /// What kind of record the body is.
    pub kind: u16,
    /// [`body_digest`].
    pub body: Digest,
}

/// `SHA-256(salt ‖ body)`.
#[must_use]
pub fn body_digest(salt: &[u8; SALT_LEN], body: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(salt);
    hasher.update(body);
    hasher.finish()
}

impl Entry {
    /// The entry's bytes: sequence (8), Unix seconds (8), kind (2), clock quality (1), format 1 (1), zero (4), all
    /// little-endian, then the body digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ENTRY_LEN] {
        let mut out = [0; ENTRY_LEN];
        out[0..8].copy_from_slice(&self.sequence.to_le_bytes());
        out[8..16].copy_from_slice(&self.wall.unix().to_le_bytes());
        out[16..18].copy_from_slice(&self.kind.to_le_bytes());
        out[18] = match self.clock {
            ClockQuality::Plausible => 1,
            ClockQuality::Untrusted => 2,
        };
        out[19] = 1;
        out[HEADER_LEN..].copy_from_slice(self.body.as_bytes());
        out
    }

    /// The entry these bytes are, if they are one: every field has one spelling.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        let (header, body) = bytes.split_at(HEADER_LEN);
        let number = |from: usize| u64::from_le_bytes(header[from..from + 8].try_into().unwrap_or_default());
        let entry = Self {
            sequence: number(0),
            wall: UtcTime::from_unix(number(8)),
            clock: if header[18] == 1 { ClockQuality::Plausible } else { ClockQuality::Untrusted },
            kind: u16::from_le_bytes([header[16], header[17]]),
            body: Digest::from_bytes(body.try_into().ok()?),
        };
        (entry.to_bytes() == *bytes).then_some(entry)
    }

    /// The leaf in the tree: `SHA-256(0x00 ‖ entry)`.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        leaf_hash(&self.to_bytes())
    }
}

/// `SHA-256(0x00 ‖ entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&[0]);
    hasher.update(entry);
    hasher.finish()
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&[1]);
    hasher.update(left.as_bytes());
    hasher.update(right.as_bytes());
    hasher.finish()
}

/// A tree's right edge: enough to add leaves and to state the head, in 64 digests at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frontier {
    size: u64,
    /// Heads of the complete subtrees, largest first: one for each set bit of `size`.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Leaves so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut node = leaf;
        // Each trailing one bit of the size is a complete subtree that the new leaf completes to the next larger one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The tree head; of the empty tree SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(|| Digest::of(b""))
    }

    /// Whether it has the shape its size asks for; for one that was read from a file.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.peaks.len() == self.size.count_ones() as usize
    }
}

/// The head of the tree over `leaves`.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// The largest power of two smaller than `size`, which is at least 2.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

/// The audit path of leaf `index` in the tree over `leaves`: `PATH(m, D[n])`. None if there is no such leaf.
#[must_use]
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut rest, mut index, mut proof) = (leaves, index, Vec::new());
    while rest.len() > 1 {
        let (left, right) = rest.split_at(split(rest.len()));
        if index < left.len() {
            proof.push(root(right));
            rest = left;
        } else {
            index -= left.len();
            proof.push(root(left));
            rest = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The proof that the tree over the first `old` leaves is a prefix of the tree over all: `PROOF(m, D[n])`. None
/// unless 1 ≤ `old` ≤ the number of leaves.
#[must_use]
pub fn consistency_proof(leaves: &[Digest], old: usize) -> Option<Vec<Digest>> {
    if old == 0 || old > leaves.len() {
        return None;
    }
    let (mut rest, mut old, mut whole, mut proof) = (leaves, old, true, Vec::new());
    while old < rest.len() {
        let (left, right) = rest.split_at(split(rest.len()));
        if old <= left.len() {
            proof.push(root(right));
            rest = left;
        } else {
            old -= left.len();
            proof.push(root(left));
            rest = right;
            whole = false;
        }
    }
    if !whole {
        proof.push(root(rest));
    }
    proof.reverse();
    Some(proof)
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// Sizes or the proof's length do not fit each other.
    #[error("the proof does not fit a tree of this size")]
    Shape,
    /// It leads to another head.
    #[error("the proof leads to head {computed}, expected {expected}")]
    Head {
        /// The head claimed.
        expected: Digest,
        /// The head the proof leads to.
        computed: Digest,
    },
}

fn same(expected: Digest, computed: Digest) -> Result<(), ProofError> {
    if expected == computed { Ok(()) } else { Err(ProofError::Head { expected, computed }) }
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves with head `head`.
///
/// # Errors
/// It is not, or the proof is no proof for that size.
pub fn verify_inclusion(leaf: Digest, index: u64, size: u64, proof: &[Digest], head: Digest) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Shape);
    }
    let (mut node, mut at, mut last) = (leaf, index, size - 1);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Shape);
        }
        if at & 1 == 1 || at == last {
            node = node_hash(sibling, &node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Shape);
    }
    same(head, node)
}

/// Checks that the tree of `old_size` leaves with head `old_head` is a prefix of the one of `size` with head `head`.
///
/// # Errors
/// It is not, or the proof is no proof for those sizes.
pub fn verify_consistency(
    old_size: u64,
    old_head: Digest,
    size: u64,
    head: Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old_size == 0 || old_size > size {
        return Err(ProofError::Shape);
    }
    if old_size == size {
        return if proof.is_empty() { same(head, old_head) } else { Err(ProofError::Shape) };
    }
    let (first, rest) = if old_size.is_power_of_two() {
        (old_head, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::Shape)?;
        (*first, rest)
    };
    let shift = (old_size - 1).trailing_ones();
    let (mut at, mut last) = ((old_size - 1) >> shift, (size - 1) >> shift);
    let (mut old, mut new) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Shape);
        }
        if at & 1 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Shape);
    }
    same(old_head, old)?;
    same(head, new)
}

#[cfg(test)]
mod tests;
