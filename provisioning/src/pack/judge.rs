//! The appliance's verifier over a bundle that is not written yet.

use std::collections::BTreeSet;
use std::path::PathBuf;

use casemate_protocol::bundle::appraisal::{
    Addressee, Appraisal, Audience, BoundaryRefusal, Device, Disposition, Inspection, OwnerRefusal, Refusal,
};
use casemate_protocol::bundle::archive::{Member, MemberKind};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{ApplianceId, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::{Client, Rules, Stored, TufError};
use casemate_protocol::tuf::floors::Floors;
use casemate_protocol::tuf::time::{Clock, UtcTime};
use thiserror::Error;

use super::contents::{Contents, Packed};
use crate::file::FileError;

/// How long after the last signed time the tool's own clock is still believed, days: as long as a root lasts.
const OFFLINE_SPAN_DAYS: u64 = 400;

/// Why an appliance would not apply the bundle.
#[derive(Debug, Error)]
pub(crate) enum JudgeError {
    /// It would refuse the bundle.
    #[error("{whom} would refuse the bundle")]
    Refused {
        /// Who.
        whom: String,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// It would refuse one owner's part.
    #[error("{appliance} would refuse the part of {owner}")]
    Owner {
        /// Who.
        appliance: ApplianceId,
        /// Whose.
        owner: Owner,
        /// Why.
        #[source]
        source: Box<OwnerRefusal>,
    },
    /// It would keep the boundary it has.
    #[error("{appliance} would refuse its boundary")]
    Boundary {
        /// Who.
        appliance: ApplianceId,
        /// Why.
        #[source]
        source: BoundaryRefusal,
    },
    /// The root cannot be trusted by anybody.
    #[error("the root is refused")]
    Root(#[source] TufError),
    /// A file of the repository cannot be read.
    #[error("a file of the repository cannot be read")]
    File(#[from] FileError),
}

impl Explain for JudgeError {
    fn code(&self) -> Code {
        match self {
            Self::Refused { source, .. } => source.code(),
            Self::Owner { source, .. } => source.code(),
            Self::Boundary { source, .. } => source.code(),
            Self::Root(source) => source.code(),
            Self::File(error) => error.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Refused { source, .. } => source.remedy(),
            Self::Owner { source, .. } => source.remedy(),
            Self::Boundary { source, .. } => source.remedy(),
            Self::Root(source) => source.remedy(),
            Self::File(error) => error.remedy(),
        }
    }
}

/// A client that has seen nothing but `root`: as an appliance right after enrolment.
///
/// # Errors
/// The root is refused.
pub(crate) fn client(root: &[u8], now: UtcTime) -> Result<Client, TufError> {
    let stored = Stored { root: root.to_vec(), floors: Floors::default(), ..Stored::default() };
    let clock = Clock { wall: now, build: UtcTime::EPOCH, offline_span_days: OFFLINE_SPAN_DAYS };
    Client::new(stored, Rules::Casemate, clock)
}

/// Judges bundles of one repository; hashes each object once, however many appliances get it.
#[derive(Debug)]
pub(crate) struct Judge {
    root: Vec<u8>,
    now: UtcTime,
    sound: BTreeSet<Digest>,
}

impl Judge {
    /// A judge for appliances that stand on `root`.
    pub(crate) fn new(root: Vec<u8>, now: UtcTime) -> Self {
        Self { root, now, sound: BTreeSet::new() }
    }

    /// What `contents` is to everybody it addresses.
    ///
    /// # Errors
    /// It is refused, or one owner's part is.
    pub(crate) fn everybody(
        &mut self,
        contents: &Contents,
        seen: &mut dyn FnMut(u64),
    ) -> Result<Inspection, JudgeError> {
        let appraisal = self.run(contents, Audience::Everybody, "every appliance", seen)?;
        let refused = |source| JudgeError::Refused { whom: "every appliance".into(), source };
        let inspection = appraisal.inspect().map_err(refused)?;
        inspection.addressees.iter().try_for_each(accepted)?;
        Ok(inspection)
    }

    /// What `contents` is to one appliance, exactly as that appliance judges it.
    ///
    /// # Errors
    /// It refuses the bundle, or one owner's part.
    pub(crate) fn appliance(&mut self, contents: &Contents, device: Device) -> Result<(), JudgeError> {
        let id = device.id.clone();
        let appraisal = self.run(contents, Audience::Appliance(device), id.as_str(), &mut |_| {})?;
        let verdict = appraisal.finish().map_err(|source| JudgeError::Refused { whom: id.to_string(), source })?;
        accepted(&verdict.addressee)
    }

    fn run(
        &mut self,
        contents: &Contents,
        audience: Audience,
        whom: &str,
        seen: &mut dyn FnMut(u64),
    ) -> Result<Appraisal, JudgeError> {
        let client = client(&self.root, self.now).map_err(JudgeError::Root)?;
        let mut appraisal = Appraisal::new(client, audience);
        let refused = |source| JudgeError::Refused { whom: whom.to_owned(), source };
        for packed in &contents.members {
            let member = Member { kind: packed.kind.clone(), length: packed.source.length() };
            loop {
                match appraisal.member(Some(&member)).map_err(refused)? {
                    Disposition::Settle => appraisal.settle(),
                    Disposition::Read => {
                        let raw = self.content(packed)?;
                        appraisal.content(&raw).map_err(refused)?;
                        break;
                    }
                    Disposition::Stage(_) => {
                        if let MemberKind::Object { digest } = &packed.kind {
                            self.check(packed, digest).map_err(|error| error.map_err(refused))?;
                            appraisal.staged(digest, member.length);
                        }
                        break;
                    }
                    Disposition::Skip => break,
                }
            }
            seen(member.length);
        }
        Ok(appraisal)
    }

    fn content(&self, packed: &Packed) -> Result<Vec<u8>, JudgeError> {
        let mut raw = Vec::new();
        let read = packed.source.stream(&mut |block| {
            raw.extend_from_slice(block);
            Ok(())
        });
        read.map_err(FileError::read(&path(packed)))?;
        Ok(raw)
    }

    fn check(&mut self, packed: &Packed, expected: &Digest) -> Result<(), Checked> {
        if self.sound.contains(expected) {
            return Ok(());
        }
        let found = packed.source.digest().map_err(FileError::read(&path(packed))).map_err(Checked::File)?;
        if found != *expected {
            return Err(Checked::Refusal(Refusal::Content { expected: *expected, found }));
        }
        self.sound.insert(found);
        Ok(())
    }
}

/// Every owner's part is accepted, and the boundary.
fn accepted(addressee: &Addressee) -> Result<(), JudgeError> {
    let appliance = || addressee.assignment.appliance.clone();
    for owner in &addressee.owners {
        if let Err(source) = &owner.outcome {
            let (appliance, owner) = (appliance(), owner.owner.clone());
            return Err(JudgeError::Owner { appliance, owner, source: Box::new(source.clone()) });
        }
    }
    match &addressee.boundary.outcome {
        Ok(_) => Ok(()),
        Err(source) => Err(JudgeError::Boundary { appliance: appliance(), source: source.clone() }),
    }
}

enum Checked {
    File(FileError),
    Refusal(Refusal),
}

impl Checked {
    fn map_err(self, refused: impl FnOnce(Refusal) -> JudgeError) -> JudgeError {
        match self {
            Self::File(error) => error.into(),
            Self::Refusal(refusal) => refused(refusal),
        }
    }
}

fn path(packed: &Packed) -> PathBuf {
    match &packed.source {
        crate::plan::object::Source::Span { path, .. } => path.clone(),
        crate::plan::object::Source::Bytes(_) => PathBuf::from(packed.kind.to_string()),
    }
}
