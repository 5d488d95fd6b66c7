//! What to ask a repository for, so that the answers are the members of the bundle one appliance needs, in their order.
//!
//! ```text
//! loop match appraisal.request()? {
//!     Request::Metadata { .. }  => the file, or appraisal.absent()? where it may be absent
//!     Request::Known { .. }     => what is here already belongs here
//!     Request::Contents(pieces) => each, whole
//!     Request::Settle           => as Disposition::Settle
//!     Request::Parts(pieces)    => each, as it is; then the archive's end
//! }
//! ```
//!
//! Each answer but a part passes through [`Appraisal::member`] and [`Appraisal::content`] before the next request, so
//! nothing is asked for that was not signed, and its length is known before it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::case::Case;
use super::catalogue::sha256;
use super::judge::Appraisal;
use super::refusal::Refusal;
use super::stage::{Stage, is_owner, is_read_whole};
use crate::bundle::archive::MemberKind;
use crate::device::assignment::Assignment;
use crate::digest::Digest;
use crate::tuf::client::{Client, Lookup, Optional, Want};
use crate::tuf::profile::boundary_role;
use crate::tuf::role::{RoleName, Version};
use crate::tuf::targets::TargetFile;

/// What the bundle needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A metadata file.
    Metadata {
        /// Whose.
        role: RoleName,
        /// Which version; a timestamp's is not known beforehand.
        version: Option<Version>,
        /// Its name in the repository's metadata folder, quoted for a URL.
        path: String,
        /// Longest acceptable answer, bytes.
        max_length: u64,
        /// Whether it may be absent.
        optional: Optional,
    },
    /// Verified metadata of an earlier run, which is current still.
    Known {
        /// The member.
        kind: MemberKind,
        /// Its content.
        raw: Vec<u8>,
    },
    /// An assignment, manifests or boundary documents: to be read whole.
    Contents(Vec<Piece>),
    /// Every manifest is read: say what is there already, as for [`Disposition::Settle`](super::Disposition::Settle).
    Settle,
    /// The files and parts that are not there. Two with one digest are two lengths that are signed for one content:
    /// whichever there is.
    Parts(Vec<Piece>),
}

/// One target's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its target path, for messages.
    pub target: String,
    /// Its name in the repository's targets folder, quoted for a URL.
    pub path: String,
    /// SHA-256 of it.
    pub digest: Digest,
    /// Its signed length, bytes.
    pub length: u64,
}

impl Piece {
    fn of(client: &Client, target: &str, file: &TargetFile) -> Option<Self> {
        let path = client.target_path(target, file);
        Some(Self { target: target.to_owned(), path, digest: sha256(file)?, length: file.length })
    }
}

impl Appraisal {
    /// What to ask for now. The same again until its answer was handed in.
    ///
    /// # Errors
    /// What was handed in so far is no bundle for this appliance.
    pub fn request(&mut self) -> Result<Request, Refusal> {
        loop {
            let request = match &self.stage {
                Stage::Top(top) => asked(&self.case.client).or_else(|| top.passed_over(&self.case.client)),
                Stage::Bins(_) => self.case.next_bin(),
                Stage::Assignments(assignments) => {
                    let wanted = assignments.wanted();
                    (!wanted.is_empty()).then(|| Request::Contents(self.case.common(wanted)))
                }
                Stage::Roles(_) => self.case.next_role(),
                Stage::Manifests(_) if self.case.awaits_manifests() => {
                    Some(Request::Contents(self.case.pieces(true, Case::awaits)))
                }
                Stage::Files(_) if self.case.settled => {
                    Some(Request::Parts(self.case.pieces(false, |case, digest| case.open.contains_key(digest))))
                }
                Stage::Manifests(_) | Stage::Files(_) => None,
            };
            if let Some(request) = request {
                return Ok(request);
            }
            match self.stage.leave(&mut self.case)? {
                Some(stage) => self.stage = stage,
                None => {
                    self.member(None)?;
                    return Ok(Request::Settle);
                }
            }
        }
    }

    /// The metadata asked for does not exist. Never to be called for an error on the way.
    ///
    /// # Errors
    /// It is required.
    pub fn absent(&mut self) -> Result<(), Refusal> {
        Ok(self.case.client.absent()?)
    }
}

fn asked(client: &Client) -> Option<Request> {
    match client.want() {
        Want::Metadata { role, version, path, max_length, optional } => {
            Some(Request::Metadata { role, version, path, max_length, optional })
        }
        Want::Nothing => None,
    }
}

impl Case {
    fn is_noted(&self, role: &RoleName) -> bool {
        self.verified.contains(role) || self.unverified.iter().any(|unverified| unverified.role == *role)
    }

    /// The next role that lists the assignment asked for, or leads there.
    fn next_bin(&mut self) -> Option<Request> {
        let target = Assignment::target_path(&self.device()?.id);
        let lookup = self.client.lookup(&target);
        let listed = self.client.snapshot()?.get().meta.keys();
        let roles = listed.filter_map(|name| RoleName::strict(name.strip_suffix(".json")?).ok());
        let is_new = |role: &RoleName| !is_owner(role) && self.client.delegated(role).is_some() && !self.is_noted(role);
        match roles.filter(is_new).min() {
            Some(role) => self.known(&role),
            None if lookup == Lookup::Wants => asked(&self.client),
            None => None,
        }
    }

    fn known(&self, role: &RoleName) -> Option<Request> {
        let targets = self.client.delegated(role)?;
        let kind = MemberKind::Metadata { role: role.clone(), version: targets.get().version };
        Some(Request::Known { kind, raw: targets.raw().to_vec() })
    }

    /// The next role of an addressed owner, or of the boundary, that has not been handed in.
    fn next_role(&mut self) -> Option<Request> {
        let assignments = self.addressees.iter().map(|addressed| &addressed.assignment);
        let mut roles: BTreeSet<_> =
            assignments.clone().flat_map(Assignment::owners).map(|owner| owner.role()).collect();
        roles.extend(assignments.filter_map(|assignment| assignment.boundary.as_ref()).map(|_| boundary_role()));
        for role in roles {
            if self.is_noted(&role) {
                continue;
            }
            match self.client.load(&role) {
                None => return asked(&self.client),
                Some(Ok(_)) => return self.known(&role),
                // Nobody signed it: there is nothing to ask for.
                Some(Err(_)) => {}
            }
        }
        None
    }

    /// The targets at `paths` that nobody owns.
    fn common(&mut self, paths: Vec<String>) -> Vec<Piece> {
        let found = paths.into_iter().filter_map(|path| match self.client.lookup(&path) {
            Lookup::Found { file, .. } => Piece::of(&self.client, &path, &file),
            _ => None,
        });
        found.collect()
    }

    /// The targets of verified owners, in the order of the section that is read whole or not, of which `lacks` is true.
    fn pieces(&self, whole: bool, lacks: impl Fn(&Self, &Digest) -> bool) -> Vec<Piece> {
        let roles = self.verified.iter().filter(|role| is_owner(role)).filter_map(|role| self.client.delegated(role));
        let listed: BTreeMap<&str, &TargetFile> = roles
            .flat_map(|targets| targets.get().targets.iter())
            .map(|(path, file)| (path.as_str(), file))
            .filter(|(path, _)| is_read_whole(path) == whole)
            .collect();
        let mut seen = BTreeSet::new();
        let wanted = listed.into_iter().filter(|(_, file)| {
            sha256(file).is_some_and(|digest| lacks(self, &digest) && seen.insert((digest, file.length)))
        });
        wanted.filter_map(|(path, file)| Piece::of(&self.client, path, file)).collect()
    }
}
