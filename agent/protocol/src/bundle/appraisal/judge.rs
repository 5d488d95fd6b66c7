//! The judge: one stage after another, each member once.

use super::addressing;
use super::case::{Case, Pending, Step};
use super::refusal::Refusal;
use super::stage::Stage;
use super::verdict::{Device, Disposition, Inspection, Verdict, Wanted};
use crate::bundle::archive::Member;
use crate::device::assignment::Assignment;
use crate::digest::Digest;
use crate::tuf::client::Client;

/// Whose bundle it should be.
#[derive(Clone, Debug)]
pub enum Audience {
    /// One appliance asks for itself.
    Appliance(Device),
    /// Its packer or an inspector asks for all whom it addresses.
    Everybody,
    /// The host's enforcer asks for the boundary of one appliance, and for nothing else
    /// ([`crate::boundary::offer`]): owners' roles have no place in what it reads.
    Enforcer(Device),
}

/// An appraisal between two members. See the module for how to drive it.
#[derive(Debug)]
pub struct Appraisal {
    pub(super) case: Case,
    pub(super) stage: Stage,
    pending: Option<Pending>,
}

impl Appraisal {
    /// An appraisal of the bundle whose first member comes next.
    #[must_use]
    pub fn new(client: Client, audience: Audience) -> Self {
        Self { case: Case::new(client, audience), stage: Stage::first(), pending: None }
    }

    /// What to do with the next member; `None` says that the archive has ended.
    ///
    /// # Errors
    /// The bundle is refused.
    pub fn member(&mut self, member: Option<&Member>) -> Result<Disposition, Refusal> {
        self.pending = None;
        loop {
            match self.stage.member(&mut self.case, member)? {
                Step::Do(disposition) => return Ok(disposition),
                Step::Read(pending) => {
                    self.pending = Some(pending);
                    return Ok(Disposition::Read);
                }
                Step::Next(stage) => self.stage = *stage,
            }
        }
    }

    /// The whole content of the member for which the answer was [`Disposition::Read`].
    ///
    /// # Errors
    /// The bundle is refused.
    pub fn content(&mut self, raw: &[u8]) -> Result<(), Refusal> {
        match self.pending.take() {
            None => Ok(()),
            Some(Pending::Top { role, version }) => self.case.top(&role, version, raw),
            Some(Pending::Role { role, member }) => self.case.role(&role, &member, raw),
            Some(Pending::Assignment { digest, target }) => {
                same(digest, raw)?;
                let device = self.case.device();
                let assignment = addressing::parse(&target, raw, self.case.jurisdiction()?, device)?;
                self.case.assigned(assignment, raw);
                Ok(())
            }
            Some(Pending::Manifest { digest }) => {
                same(digest, raw)?;
                self.case.manifest(digest, raw);
                Ok(())
            }
            Some(Pending::Presumes) => self.case.presume(raw),
        }
    }

    /// The assignment of the appliance that asks, as soon as it is read: its owners' metadata may still fail.
    #[must_use]
    pub fn assignment(&self) -> Option<&Assignment> {
        self.case.addressees.first().map(|addressee| &addressee.assignment).filter(|_| self.case.device().is_some())
    }

    /// The metadata client: its roots may be kept whatever the outcome.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.case.client
    }

    /// The objects the addressed owners' files are made of, known once [`Disposition::Settle`] was answered.
    pub fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        self.case.wanted.values()
    }

    /// The whole `object` is there already, and `length` bytes long. An owner who signs another length is refused.
    pub fn hold(&mut self, object: Digest, length: u64) {
        self.case.held.entry(object).or_insert(length);
    }

    /// The archive was read to its end elsewhere, and nothing was found to be missing: what is not held now and is
    /// signed with different lengths is the fault of the owner who wants it.
    pub fn exhaust(&mut self) {
        self.case.exhausted = true;
    }

    /// Part number `part` of `object` is there already.
    pub fn hold_part(&mut self, object: Digest, part: usize) {
        self.case.held_parts.insert((object, part));
    }

    /// Everything that is there already has been said.
    pub fn settle(&mut self) {
        self.case.settle();
    }

    /// Bytes of wanted content that are not there yet: to be free before the first of them is written.
    #[must_use]
    pub fn bytes_to_stage(&self) -> u64 {
        self.case.bytes_to_stage()
    }

    /// The object named `digest`, `length` bytes, was written to every place its [`Disposition::Stage`] gave, and
    /// hashes to its name.
    pub fn staged(&mut self, digest: &Digest, length: u64) {
        self.case.staged(digest, length);
    }

    /// The verdict for the appliance that asks.
    ///
    /// # Errors
    /// Something wanted is missing.
    pub fn finish(self) -> Result<Verdict, Refusal> {
        let Inspection { trust, addressees, unverified, .. } = self.inspect()?;
        match addressees.into_iter().next() {
            Some(addressee) => Ok(Verdict { trust, addressee, unverified }),
            None => Err(Refusal::Unexpected { member: "the end".into(), why: "an assignment was expected" }),
        }
    }

    /// What the bundle is to everybody it addresses.
    ///
    /// # Errors
    /// Something wanted is neither in the bundle nor held nor, unless one appliance asks for itself, presumed.
    pub fn inspect(mut self) -> Result<Inspection, Refusal> {
        if self.member(None)? == Disposition::Settle {
            self.settle();
            self.member(None)?;
        }
        self.case.conclude()
    }
}

fn same(expected: Digest, raw: &[u8]) -> Result<(), Refusal> {
    let found = Digest::of(raw);
    if found == expected { Ok(()) } else { Err(Refusal::Content { expected, found }) }
}
