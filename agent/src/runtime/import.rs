//! From a place with bundles to receipts. Blocks: it runs on a thread that may.

use std::path::{Path, PathBuf};

use casemate_protocol::bundle::appraisal::{Device, Verdict};
use casemate_protocol::code::{Class, Code, Explain};
use casemate_protocol::digest::Digest;
use tokio::sync::watch;

use super::error::RuntimeError;
use super::keeper::Keeper;
use super::store_thread::Desk;
use crate::exit::Failure;
use crate::intake::{Input, IntakeError, Launcher, Order, Progress, Remains};
use crate::local_api::answer::{BundleReport, ImportReport};
use crate::outbox::{self, Release};
use crate::transport::stick;

/// What a bundle is judged against.
struct Bench {
    order: Order,
    staging: PathBuf,
    launcher: Launcher,
}

/// Imports what is at `path`: of several bundles, the newest that verifies and addresses this appliance is applied,
/// and older ones beside it are superseded.
pub(super) fn import(desk: &Desk, path: &Path, progress: &watch::Sender<Progress>) -> Result<ImportReport, Failure> {
    let source = stick::find(path)?;
    let bench = desk.ask_blocking(Keeper::bench)??;
    let (ranked, mut refused) = bench.rank(&source.bundles);
    let mut bundles = Vec::new();
    let mut winner: Option<BundleReport> = None;
    for file in ranked {
        if let Some(applied) = &winner {
            bundles.push(superseded(file, applied));
            continue;
        }
        match bench.appraise_among(desk, &file, &source.bundles, progress) {
            Ok(verdict) => {
                let report = desk.ask_blocking(move |keeper| keeper.settle(&verdict))??;
                let report = BundleReport { file, ..report };
                winner = Some(report.clone());
                bundles.push(report);
            }
            Err(error) => refused.push((file, error)),
        }
    }
    for (file, error) in refused {
        bundles.push(match &winner {
            // Older than what was just accepted, or is in force: beside a newer bundle that is no refusal.
            Some(applied) if error.code() == Code::MetadataRollback => superseded(file, applied),
            _ => refusal(desk, file, error)?,
        });
    }
    if let Some(stick) = &source.stick {
        send_home(desk, stick);
    }
    let gravest = || bundles.iter().map(|bundle| bundle.code).max_by_key(|code| code.class());
    let code = winner.map(|bundle| bundle.code).or_else(gravest).unwrap_or(Code::InputUnreadable);
    Ok(ImportReport { code, bundles })
}

impl Bench {
    /// The bundles to try, newest first, and those that are refused at first sight. One alone is not looked at twice.
    fn rank(&self, files: &[PathBuf]) -> (Vec<PathBuf>, Vec<(PathBuf, IntakeError)>) {
        if let [file] = files {
            return (vec![file.clone()], Vec::new());
        }
        let (mut ranked, mut refused) = (Vec::new(), Vec::new());
        for file in files {
            let survey = Input::open(file).and_then(|input| self.launcher.survey(&input, &self.order, &self.staging));
            match survey {
                Ok(survey) => ranked.push((survey.timestamp, file.clone())),
                Err(error) => refused.push((file.clone(), error)),
            }
        }
        ranked.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.cmp(right)));
        (ranked.into_iter().map(|(_, file)| file).collect(), refused)
    }

    /// Appraises `file`; what it lacks is looked for in the bundles beside it.
    fn appraise_among(
        &self,
        desk: &Desk,
        file: &Path,
        beside: &[PathBuf],
        progress: &watch::Sender<Progress>,
    ) -> Result<Box<Verdict>, IntakeError> {
        let lacking = match self.appraise(desk, file, progress) {
            Err(IntakeError::Refused { code: Code::Missing, remains, .. }) if beside.len() > 1 => remains.wanted,
            result => return result,
        };
        for other in beside.iter().filter(|other| *other != file) {
            let mut tell = |step| {
                progress.send_replace(step);
            };
            // One that cannot be read may still not keep the others from helping.
            let found = Input::open(other)
                .and_then(|input| self.launcher.harvest(&input, &self.order, &lacking, &self.staging, &mut tell));
            match found {
                Ok(parts) => tracing::info!(count = parts, "parts were found in another bundle"),
                Err(error) => tracing::info!(code = %error.code(), "another bundle is no help"),
            }
        }
        self.appraise(desk, file, progress)
    }

    fn appraise(
        &self,
        desk: &Desk,
        file: &Path,
        progress: &watch::Sender<Progress>,
    ) -> Result<Box<Verdict>, IntakeError> {
        let input = Input::open(file)?;
        let holds = |id: &Digest| {
            let id = *id;
            // If the store thread is gone nothing is held; what follows fails there.
            desk.ask_blocking(move |keeper| keeper.store.objects().length(&id)).unwrap_or(None)
        };
        let mut tell = |step| {
            progress.send_replace(step);
        };
        self.launcher.import(&input, &self.order, &self.staging, &holds, &mut tell).map(Box::new)
    }
}

impl Keeper {
    fn bench(&mut self) -> Result<Bench, Failure> {
        self.writable()?;
        let identity = self.confirmed()?;
        let device = Device { id: identity.appliance, jurisdiction: identity.jurisdiction, keys: identity.device };
        Ok(Bench {
            order: Order { stored: self.stored()?, device, clock: self.clock(), reserve: self.config.reserve },
            staging: self.store.staging(),
            launcher: Launcher::program(&self.config.program),
        })
    }

    /// Keeps what may be kept of a refused bundle: roots, and a receipt that says so.
    fn note_refusal(&mut self, code: Code, remains: &Remains) -> Result<Option<u64>, Failure> {
        self.keep_roots(&remains.roots)?;
        match (remains.snapshot, remains.input) {
            (Some((version, snapshot)), _) => self.refused_snapshot(code, version, snapshot).map(Some),
            (None, Some(input)) => self.refused(code, input),
            (None, None) => Ok(None),
        }
    }
}

fn superseded(file: PathBuf, by: &BundleReport) -> BundleReport {
    BundleReport {
        file,
        code: Code::Superseded,
        failure: None,
        timestamp_version: None,
        owners: Vec::new(),
        receipt: by.receipt,
        diff: Vec::new(),
    }
}

fn refusal(desk: &Desk, file: PathBuf, error: IntakeError) -> Result<BundleReport, Failure> {
    let code = error.code();
    let mut failure = Failure::of(&error);
    let (receipt, timestamp_version) = match error {
        IntakeError::Refused { code, remains, .. } => {
            let version = remains.snapshot.map(|(version, _)| version.get());
            let (receipt, accepted) =
                desk.ask_blocking(move |keeper| (keeper.note_refusal(code, &remains), keeper.timestamp_version()))?;
            if let (Code::MetadataRollback, Some(accepted)) = (code, accepted) {
                let plain = format!("this bundle is older than what this appliance has accepted, timestamp {accepted}");
                failure.causes.insert(0, std::mem::replace(&mut failure.message, plain));
            }
            (receipt?, version)
        }
        _ => (None, None),
    };
    if code.class() != Class::Refused {
        tracing::warn!(%code, "a bundle could not be read");
    }
    Ok(BundleReport {
        file,
        code,
        failure: Some(failure),
        timestamp_version,
        owners: Vec::new(),
        receipt,
        diff: Vec::new(),
    })
}

/// Writes the receipts nobody has taken yet, and a health report, onto the stick. A stick that cannot be written is no
/// failure of the import: the receipts wait for the next one.
fn send_home(desk: &Desk, stick: &Path) {
    let sent = || -> Result<usize, Failure> {
        let outgoing = desk.ask_blocking(Keeper::outgoing)??;
        outbox::release(stick, &["out", &outgoing.outbox], &outgoing.outbox, &outgoing.releases)?;
        let sequences: Vec<_> = outgoing.releases.iter().filter_map(Release::receipt).collect();
        let count = sequences.len();
        desk.ask_blocking(move |keeper| keeper.receipt_taken(&sequences))??;
        Ok(count)
    };
    match sent() {
        Ok(count) => tracing::info!(count, "receipts went onto the stick"),
        Err(failure) => tracing::warn!(code = %failure.code, "receipts stay here"),
    }
}

/// What may leave now, and the opaque name it leaves under.
struct Outgoing {
    outbox: String,
    releases: Vec<Release>,
}

impl Keeper {
    fn outgoing(&mut self) -> Result<Outgoing, Failure> {
        let identity = self.identity.as_ref().ok_or(RuntimeError::NotEnrolled)?;
        let outbox = outbox::folder_name(&identity.public().fingerprint());
        let mut releases = vec![Release::Health { envelope: identity.seal_health(&self.health())? }];
        for (sequence, _) in self.store.state().outbox.iter().filter(|(_, entry)| !entry.taken) {
            releases.push(Release::Receipt { sequence: *sequence, envelope: self.receipt(*sequence)? });
        }
        Ok(Outgoing { outbox, releases })
    }
}
