//! The core of a look at a repository, without I/O: what to ask for next, and what the answer means.
//!
//! ```text
//! let mut errand = Errand::new(standing)?;
//! loop match errand.next(&known)? {
//!     Need::File(ask)   => errand.got(bytes)? or errand.absent()?
//!     Need::Held(list)  => errand.held(what is here)
//!     Need::Nothing     => the repository is as it was
//!     Need::Parts(cargo)=> cargo.head, each of cargo.parts as an archive member, the archive's end
//! }
//! ```
//!
//! It walks the metadata with the very judge that reads bundles, so it asks only for what is signed and wanted here. What
//! that judge refuses is not hidden: the archive ends behind it, and the reader refuses it as it would from a stick.

use std::collections::VecDeque;

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Disposition, Piece, Refusal, Request, Wanted};
use casemate_protocol::bundle::archive::{Member, MemberKind, Writer};
use casemate_protocol::canonical;
use casemate_protocol::code::Explain;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::{Client, Optional, Rules};
use casemate_protocol::tuf::role::{RoleName, Version};

use super::ask::Ask;
use super::error::PullError;
use crate::transport::backend::{Held, Standing};

/// What an errand needs.
#[derive(Debug)]
pub(super) enum Need {
    /// A file of the repository, whole.
    File(Ask),
    /// What is here of these objects.
    Held(Vec<Wanted>),
    /// Everything small has been read: this is the bundle.
    Parts(Cargo),
    /// Nothing: the repository stands where it stood when it was last taken in.
    Nothing,
}

/// A bundle but for its parts.
#[derive(Debug)]
pub(super) struct Cargo {
    /// Which state of the repository it is.
    pub(super) edition: Edition,
    /// The archive up to the first part.
    pub(super) head: Vec<u8>,
    /// The parts that are not here, in order. Of two with one digest one is wanted: whichever there is.
    pub(super) parts: Vec<Piece>,
}

/// A state of a repository, by what changes with every publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edition {
    /// SHA-256 of the timestamp.
    pub(super) timestamp: Digest,
    /// Version of the newest root.
    pub(super) root: Version,
}

/// What the next answer is for.
#[derive(Debug)]
enum Awaited {
    Metadata { role: RoleName, version: Option<Version>, optional: Optional },
    Content(Piece),
}

/// A look at a repository between two steps.
#[derive(Debug)]
pub(super) struct Errand {
    appraisal: Appraisal,
    head: Vec<u8>,
    awaited: Option<Awaited>,
    queue: VecDeque<Piece>,
    timestamp: Option<Digest>,
    /// The judge has refused what came last: the bundle ends with it.
    refused: bool,
}

impl Errand {
    /// Sets out with what is known here.
    ///
    /// # Errors
    /// What is stored here cannot be used.
    pub(super) fn new(standing: Standing) -> Result<Self, PullError> {
        let client = Client::new(standing.stored, Rules::Casemate, standing.clock).map_err(Refusal::from)?;
        let appraisal = Appraisal::new(client, Audience::Appliance(standing.device));
        Ok(Self { appraisal, head: Vec::new(), awaited: None, queue: VecDeque::new(), timestamp: None, refused: false })
    }

    /// What to do now. `settled` is the edition after which there is nothing to do.
    ///
    /// # Errors
    /// What is known cannot become an archive.
    pub(super) fn next(&mut self, settled: Option<Edition>) -> Result<Need, PullError> {
        loop {
            if self.refused {
                return Ok(self.cargo(Vec::new()));
            }
            if let Some(piece) = self.queue.pop_front() {
                let ask = Ask::piece(&piece);
                self.awaited = Some(Awaited::Content(piece));
                return Ok(Need::File(ask));
            }
            if self.timestamp.is_some() && settled == self.edition() {
                return Ok(Need::Nothing);
            }
            let request = match self.appraisal.request() {
                Ok(request) => request,
                Err(refusal) => {
                    self.refuse(&refusal);
                    continue;
                }
            };
            match request {
                Request::Metadata { role, version, path, max_length, optional } => {
                    let ask = Ask::metadata(&path, max_length, optional);
                    self.awaited = Some(Awaited::Metadata { role, version, optional });
                    return Ok(Need::File(ask));
                }
                Request::Known { kind, raw } => self.add(kind, &raw)?,
                Request::Contents(pieces) if pieces.is_empty() => return Err(PullError::Stuck),
                Request::Contents(pieces) => self.queue = pieces.into(),
                Request::Settle => return Ok(Need::Held(self.appraisal.wanted().cloned().collect())),
                Request::Parts(parts) => return Ok(self.cargo(parts)),
            }
        }
    }

    /// The file asked for. Its length is within the limit; the digest of a target's content is looked at here.
    ///
    /// # Errors
    /// The file is not what was signed: another try may bring the right one.
    pub(super) fn got(&mut self, raw: &[u8]) -> Result<(), PullError> {
        match self.awaited.take() {
            None => Err(PullError::Stuck),
            Some(Awaited::Metadata { role, version, .. }) => {
                if role == RoleName::timestamp() {
                    self.timestamp = Some(Digest::of(raw));
                }
                // Of no other version it is asked for: whatever is in it, it stands under the name of what was wanted.
                let version = version.or_else(|| claimed_version(raw)).unwrap_or(Version::FIRST);
                self.add(MemberKind::Metadata { role, version }, raw)
            }
            Some(Awaited::Content(piece)) => {
                let found = Digest::of(raw);
                if found != piece.digest {
                    return Err(PullError::BadContent { target: piece.target, expected: piece.digest, found });
                }
                self.add(MemberKind::Object { digest: piece.digest }, raw)
            }
        }
    }

    /// There is no such file.
    ///
    /// # Errors
    /// It is required.
    pub(super) fn absent(&mut self) -> Result<(), PullError> {
        match self.awaited.take() {
            Some(Awaited::Metadata { optional: Optional::Yes, .. }) => {
                if let Err(refusal) = self.appraisal.absent() {
                    self.refuse(&refusal);
                }
                Ok(())
            }
            Some(Awaited::Metadata { role, .. }) => Err(PullError::Absent { what: role.to_string() }),
            Some(Awaited::Content(piece)) => Err(PullError::Absent { what: piece.target }),
            None => Err(PullError::Stuck),
        }
    }

    /// What is here, in the order of [`Need::Held`].
    pub(super) fn held(&mut self, wanted: &[Wanted], held: Vec<Held>) {
        for (wanted, held) in wanted.iter().zip(held) {
            match held {
                // No member carries an empty file: it is known by its manifest alone.
                _ if wanted.length == 0 => self.appraisal.hold(wanted.object, 0),
                Held::Whole => self.appraisal.hold(wanted.object, wanted.length),
                Held::Parts(parts) => parts.into_iter().for_each(|part| self.appraisal.hold_part(wanted.object, part)),
            }
        }
        self.appraisal.settle();
    }

    fn edition(&self) -> Option<Edition> {
        let root = self.appraisal.client().root().get().version;
        self.timestamp.map(|timestamp| Edition { timestamp, root })
    }

    fn add(&mut self, kind: MemberKind, raw: &[u8]) -> Result<(), PullError> {
        Writer::append(&mut self.head, &kind, raw).map_err(|_| PullError::Empty { what: kind.to_string() })?;
        let member = Member { kind, length: raw.len() as u64 };
        let judged = match self.appraisal.member(Some(&member)) {
            Ok(Disposition::Read) => self.appraisal.content(raw),
            other => other.map(drop),
        };
        if let Err(refusal) = judged {
            self.refuse(&refusal);
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: &Refusal) {
        tracing::debug!(code = %refusal.code(), "the repository is not read further");
        self.refused = true;
    }

    fn cargo(&mut self, parts: Vec<Piece>) -> Need {
        let root = self.appraisal.client().root().get().version;
        // Roots alone can be refused: then they are what there is.
        let timestamp = self.timestamp.unwrap_or_else(|| Digest::of(&self.head));
        let edition = Edition { timestamp, root };
        Need::Parts(Cargo { edition, head: std::mem::take(&mut self.head), parts })
    }
}

/// The version a metadata file says it has; nothing rests on it but a member's name.
fn claimed_version(raw: &[u8]) -> Option<Version> {
    canonical::parse(raw).ok()?["signed"]["version"].as_u64().and_then(Version::new)
}
