//! The three things intake does with a bundle.

use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::bundle::appraisal::{Disposition, Verdict, Wanted};
use casemate_protocol::digest::Digest;

use super::error::IntakeError;
use super::frame::{Ending, HarvestPart, Task};
use super::halt::Halt;
use super::input::Input;
use super::order::{Order, Progress, Survey};
use super::parent::{self, Desk};

/// The hidden first argument that makes the binary a child. Look for it before any other argument parsing: a child
/// starts often and lives shortly.
pub const CHILD_ARGUMENT: &str = "intake-child";

/// The program that is started as the child.
#[derive(Clone, Debug)]
pub struct Launcher {
    pub(super) program: PathBuf,
    pub(super) patience: Duration,
    pub(super) halt: Halt,
}

/// How long a child may say nothing, unless it waits for a pipe that is empty. It speaks at least once for every 64 MiB it
/// reads, hashes or writes: a stick of 110 kB/s is not too slow.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

impl Launcher {
    /// The running program itself, even after its file was replaced.
    #[must_use]
    pub fn this_program() -> Self {
        Self::program(Path::new("/proc/self/exe"))
    }

    /// Another program with the same entry: for tests, whose own binary has none.
    #[must_use]
    pub fn program(path: &Path) -> Self {
        Self { program: path.into(), patience: PATIENCE, halt: Halt::default() }
    }

    /// A child that says nothing for `patience` is killed.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// `halt` ends what it runs.
    #[must_use]
    pub fn with_halt(self, halt: Halt) -> Self {
        Self { halt, ..self }
    }

    /// Appraises `input` whole and stages what its owners want and nobody `holds` (says
    /// with which length it is held). Verified objects stay in `staging`
    /// whatever the outcome, each under its id.
    ///
    /// # Errors
    /// The bundle is refused, or the reading failed; [`IntakeError`] keeps the roots that may be kept.
    ///
    /// # Durability
    /// Objects over 1 MiB are synced; smaller ones are for whoever adopts them to sync.
    pub fn import(
        &self,
        input: &Input,
        order: &Order,
        staging: &Path,
        holds: &dyn Fn(&Digest) -> Option<u64>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verdict, IntakeError> {
        let report = parent::converse(self, input, order, Task::Import, staging, Desk { holds, progress })?;
        if let Some(error) = parent::failure(&report, input, order, staging) {
            return Err(error);
        }
        if input.is_changed() {
            return Err(IntakeError::Changed { path: input.path().into() });
        }
        let refused = |refusal| parent::refused_here(&refusal);
        let mut appraisal = parent::replay(&report, order).map_err(refused)?;
        if appraisal.member(None).map_err(refused)? == Disposition::Settle {
            let wanted: Vec<Wanted> = appraisal.wanted().cloned().collect();
            for wanted in wanted {
                let failed = |source| IntakeError::Staging { path: staging.into(), source };
                if let Some(length) = holds(&wanted.object) {
                    appraisal.hold(wanted.object, length);
                } else if parent::is_staged(staging, &wanted).map_err(failed)? {
                    appraisal.hold(wanted.object, wanted.length);
                }
            }
            appraisal.exhaust();
            appraisal.settle();
        }
        appraisal.finish().map_err(refused)
    }

    /// Reads only as far as the assignment: whether `input` is addressed to this appliance, and how new it is.
    /// Nothing is staged.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn survey(&self, input: &Input, order: &Order, staging: &Path) -> Result<Survey, IntakeError> {
        let desk = Desk { holds: &|_| None, progress: &mut |_| {} };
        let report = parent::converse(self, input, order, Task::Survey, staging, desk)?;
        if let Some(error) = parent::failure(&report, input, order, staging) {
            return Err(error);
        }
        let appraisal = parent::replay(&report, order).map_err(|refusal| parent::refused_here(&refusal))?;
        let client = appraisal.client();
        let survey = client.timestamp().zip(client.snapshot()).and_then(|(timestamp, snapshot)| {
            appraisal.assignment()?;
            let signed_at = timestamp.get().profile.as_ref()?.signed_at;
            Some(Survey { timestamp: timestamp.get().version, signed_at, snapshot: snapshot.digest() })
        });
        survey.ok_or_else(|| IntakeError::Child("it reported an assignment that is not there".into()))
    }

    /// Takes from `input`, whatever bundle it is, the parts that `wanted` lists and the staging folder lacks. Returns
    /// how many it found. What they are was signed elsewhere: the archive's own metadata is not looked at.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn harvest(
        &self,
        input: &Input,
        order: &Order,
        wanted: &[Wanted],
        staging: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<usize, IntakeError> {
        let parts = wanted.iter().flat_map(|wanted| {
            wanted.parts.iter().enumerate().map(|(index, part)| HarvestPart {
                sha256: part.sha256,
                length: part.length,
                object: wanted.object,
                object_length: wanted.length,
                part: index,
                offset: part.offset,
            })
        });
        let task = Task::Harvest(parts.collect());
        let report = parent::converse(self, input, order, task, staging, Desk { holds: &|_| None, progress })?;
        match (parent::failure(&report, input, order, staging), &report.ending) {
            (None, Ending::Done { parts }) => Ok(*parts),
            (Some(error), _) => Err(error),
            (None, _) => Err(IntakeError::Child("it reported no harvest".into())),
        }
    }
}
