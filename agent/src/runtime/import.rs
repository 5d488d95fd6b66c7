//! From a place with bundles to receipts. Blocks: it runs on a thread that may.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::appraisal::{Device, Verdict};
use casemate_protocol::code::{Class, Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;
use tokio::sync::watch;

use super::error::RuntimeError;
use super::keeper::Keeper;
use super::queue::is_of_a_person;
use super::room;
use super::store_thread::Desk;
use crate::exit::Failure;
use crate::intake::{self, Halt, Input, IntakeError, Launcher, Order, Progress, Remains};
use crate::local_api::answer::{BundleReport, ImportReport};
use crate::local_api::call::ImportSource;
use crate::outbox::{self, Release};
use crate::store::OutboxEntry;
use crate::transport::stick;

/// What a bundle is judged against.
struct Bench {
    order: Order,
    staging: PathBuf,
    launcher: Launcher,
    /// Nothing may change.
    dry: bool,
    /// Where unfinished bundles of transports are, if they go on a full disk.
    spool: Option<PathBuf>,
}

/// What an import ended with.
pub(super) struct Imported {
    pub(super) report: ImportReport,
    /// The snapshot in force since, if a bundle was acted on.
    pub(super) snapshot: Option<Digest>,
}

/// Imports what comes from `source`: of several bundles, the newest that verifies and addresses this appliance is
/// applied, and older ones beside it are superseded. Nothing changes and nothing is kept if it is `dry`. `halt` ends it as
/// long as there is no verdict.
pub(super) fn import(
    desk: &Desk,
    source: ImportSource,
    transport: Transport,
    dry: bool,
    halt: Halt,
    progress: &watch::Sender<Progress>,
) -> Result<Imported, Failure> {
    let imported = desk.ask_blocking(move |keeper| keeper.bench(transport, dry, halt))?.and_then(|bench| {
        let imported = match source {
            ImportSource::Path(path) => from_path(desk, &bench, &path, transport, dry, progress),
            ImportSource::Stream(stream) => from_stream(desk, &bench, stream, transport, dry, progress),
        };
        bench.clear();
        imported
    });
    desk.ask_blocking(Keeper::import_ended)?;
    imported
}

fn from_path(
    desk: &Desk,
    bench: &Bench,
    path: &Path,
    transport: Transport,
    dry: bool,
    progress: &watch::Sender<Progress>,
) -> Result<Imported, Failure> {
    let source = stick::find(path)?;
    let transport = if source.stick.is_some() { Transport::Stick } else { transport };
    let (ranked, mut refused) = bench.rank(&source.bundles);
    let mut bundles = Vec::new();
    let mut winner: Option<(BundleReport, Digest)> = None;
    for file in ranked {
        if let Some((applied, _)) = &winner {
            bundles.push(superseded(file, applied));
            continue;
        }
        match bench.appraise_among(desk, &file, &source.bundles, progress) {
            Ok(verdict) => {
                let snapshot = verdict.trust.snapshot;
                let report = BundleReport { file, ..act(desk, verdict, transport, dry)? };
                bundles.push(report.clone());
                winner = Some((report, snapshot));
            }
            Err(error) => refused.push((file, error)),
        }
    }
    for (file, error) in refused {
        bundles.push(match &winner {
            // Older than what was just accepted, or is in force: beside a newer bundle that is no refusal.
            Some((applied, _)) if error.code() == Code::MetadataRollback => superseded(file, applied),
            _ => refusal(desk, file, error, transport, dry)?,
        });
    }
    if let Some(stick) = source.stick.filter(|_| !dry) {
        send_home(desk, &stick);
    }
    let gravest = || bundles.iter().map(|bundle| bundle.code).max_by_key(|code| code.class());
    let code = winner.as_ref().map(|(bundle, _)| bundle.code).or_else(gravest).unwrap_or(Code::InputUnreadable);
    Ok(Imported { report: ImportReport { code, bundles }, snapshot: winner.map(|(_, snapshot)| snapshot) })
}

/// As [`from_path`] for one bundle that can be read once only.
fn from_stream(
    desk: &Desk,
    bench: &Bench,
    stream: File,
    transport: Transport,
    dry: bool,
    progress: &watch::Sender<Progress>,
) -> Result<Imported, Failure> {
    let name = PathBuf::from("-");
    let verdict = Input::pipe(stream, "the stream").and_then(|input| bench.appraise(desk, &input, progress));
    let (report, snapshot) = match verdict {
        Ok(verdict) => {
            let snapshot = verdict.trust.snapshot;
            (BundleReport { file: name, ..act(desk, verdict, transport, dry)? }, Some(snapshot))
        }
        // It comes again: that is no outcome to be reported.
        Err(error @ IntakeError::GaveWay) => {
            desk.ask_blocking(|keeper| keeper.gave_way = true)?;
            return Err(Failure::of(&error));
        }
        Err(error) => {
            if let IntakeError::DiskFull { objects, .. } = &error {
                // It cannot be read twice; the next time there may be room.
                bench.make_room(objects);
            }
            (refusal(desk, name, error, transport, dry)?, None)
        }
    };
    Ok(Imported { report: ImportReport { code: report.code, bundles: vec![report] }, snapshot })
}

fn act(desk: &Desk, verdict: Box<Verdict>, transport: Transport, dry: bool) -> Result<BundleReport, Failure> {
    desk.ask_blocking(move |keeper| if dry { keeper.preview(&verdict) } else { keeper.settle(&verdict, transport) })?
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
        let once = || Input::open(file).and_then(|input| self.appraise(desk, &input, progress));
        let whole = || match once() {
            Err(IntakeError::DiskFull { objects, .. }) if self.make_room(&objects) => once(),
            result => result,
        };
        let lacking = match whole() {
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
        whole()
    }

    fn appraise(
        &self,
        desk: &Desk,
        input: &Input,
        progress: &watch::Sender<Progress>,
    ) -> Result<Box<Verdict>, IntakeError> {
        let holds = |id: &Digest| {
            let id = *id;
            // If the store thread is gone nothing is held; what follows fails there.
            desk.ask_blocking(move |keeper| keeper.store.objects().length(&id)).unwrap_or(None)
        };
        let mut tell = |step| {
            progress.send_replace(step);
        };
        self.launcher.import(input, &self.order, &self.staging, &holds, &mut tell).map(Box::new)
    }

    /// Makes room on a full disk for a bundle that wants `objects`: what is staged of others goes and, for a person, what
    /// transports have received so far. Says whether anything has gone.
    fn make_room(&self, objects: &[Digest]) -> bool {
        if self.dry {
            return false;
        }
        // If it is not known what is wanted, everything staged may be.
        let staged = if objects.is_empty() { Ok(0) } else { intake::keep_only(&self.staging, objects) };
        let received = self.spool.as_deref().map_or(Ok(0), room::empty);
        let gone = [staged, received].map(|gone| {
            gone.unwrap_or_else(|error| {
                tracing::warn!(%error, "not all room there could be was made on a full disk");
                0
            })
        });
        let count: usize = gone.iter().sum();
        tracing::info!(count, "room was made on a full disk");
        count > 0
    }

    /// What a dry run staged goes with it.
    fn clear(&self) {
        if self.dry
            && let Err(error) = fs::remove_dir_all(&self.staging)
        {
            tracing::warn!(%error, "what a dry run staged stays until the next");
        }
    }
}

impl Keeper {
    fn bench(&mut self, transport: Transport, dry: bool, halt: Halt) -> Result<Bench, Failure> {
        self.writable()?;
        let device = self.as_device()?;
        let staging = if dry { self.dry_staging()? } else { self.store.staging() };
        self.importing = true;
        Ok(Bench {
            order: Order { stored: self.stored()?, device, clock: self.clock(), reserve: self.config.reserve },
            staging,
            launcher: Launcher::program(&self.config.program).with_halt(halt),
            dry,
            // A bundle from the network may itself be there.
            spool: is_of_a_person(transport).then(|| self.config.state.join("spool")),
        })
    }

    /// As whom the appliance judges what is signed.
    pub(super) fn as_device(&self) -> Result<Device, RuntimeError> {
        let identity = self.confirmed()?;
        Ok(Device { id: identity.appliance, jurisdiction: identity.jurisdiction, keys: identity.device })
    }

    /// A staging folder of its own, empty: what others staged for a bundle to come is neither used nor touched.
    fn dry_staging(&self) -> Result<PathBuf, Failure> {
        let folder = self.store.staging().join("dry-run");
        let failed = |source| RuntimeError::Start { action: "prepare a dry run", source };
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error).into()),
            _ => {}
        }
        fs::create_dir(&folder).map_err(failed)?;
        Ok(folder)
    }

    /// Nothing is being read any more.
    fn import_ended(&mut self) {
        self.importing = false;
        self.tidy();
    }

    /// Keeps what may be kept of a refused bundle: roots, and a receipt that says so.
    fn note_refusal(&mut self, code: Code, remains: &Remains, transport: Transport) -> Result<Option<u64>, Failure> {
        self.keep_roots(&remains.roots)?;
        match (remains.snapshot, remains.input) {
            (Some((version, snapshot)), _) => self.refused_snapshot(code, version, snapshot, transport).map(Some),
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
        boundary: None,
        receipt: by.receipt,
        diff: Vec::new(),
    }
}

fn refusal(
    desk: &Desk,
    file: PathBuf,
    error: IntakeError,
    transport: Transport,
    dry: bool,
) -> Result<BundleReport, Failure> {
    let code = error.code();
    let mut failure = Failure::of(&error);
    let (receipt, timestamp_version) = match error {
        IntakeError::Refused { code, remains, .. } => {
            let version = remains.snapshot.map(|(version, _)| version.get());
            let (receipt, accepted) = desk.ask_blocking(move |keeper| {
                let receipt = if dry { Ok(None) } else { keeper.note_refusal(code, &remains, transport) };
                (receipt, keeper.timestamp_version())
            })?;
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
        boundary: None,
        receipt,
        diff: Vec::new(),
    })
}

/// Writes the receipts nobody has taken yet or somebody took over the network, and a health report, onto the stick. A stick that cannot be written is no
/// failure of the import: the receipts wait for the next one.
pub(super) fn send_home(desk: &Desk, stick: &Path) {
    let outgoing = match desk.ask_blocking(Keeper::outgoing).unwrap_or_else(|error| Err(error.into())) {
        Ok(outgoing) => outgoing,
        Err(failure) => return tracing::warn!(code = %failure.code, "receipts cannot be made ready to leave"),
    };
    let sequences: Vec<_> = outgoing.releases.iter().filter_map(Release::receipt).collect();
    let count = sequences.len();
    if let Err(error) = outbox::release(stick, &["out", &outgoing.outbox], &outgoing.outbox, &outgoing.releases) {
        if count == 0 {
            return tracing::debug!("no receipt waits, and nothing can be written beside the bundles");
        }
        // Why, without the path: people name folders.
        let why = error.source().map(ToString::to_string);
        let remedy = error.remedy();
        return tracing::warn!(
            count,
            error = why,
            remedy,
            "receipts wait here: nothing can be written beside the bundles"
        );
    }
    match desk
        .ask_blocking(move |keeper| keeper.receipt_taken(&sequences, None))
        .unwrap_or_else(|error| Err(error.into()))
    {
        Ok(()) => tracing::info!(count, "receipts went onto the stick"),
        Err(failure) => tracing::warn!(code = %failure.code, "receipts went onto the stick and count as waiting still"),
    }
}

/// What may leave now, and the opaque name it leaves under.
struct Outgoing {
    outbox: String,
    releases: Vec<Release>,
}

impl Keeper {
    /// A stick has receipts to carry.
    pub(super) fn owes_receipts(&self) -> bool {
        self.store.state().outbox.values().any(OutboxEntry::is_for_sticks)
    }

    fn outgoing(&mut self) -> Result<Outgoing, Failure> {
        let identity = self.identity.as_ref().ok_or(RuntimeError::NotEnrolled)?;
        let outbox = outbox::folder_name(&identity.public().fingerprint());
        let mut releases = vec![Release::Health { envelope: identity.seal_health(&self.health())? }];
        for (sequence, _) in self.store.state().outbox.iter().filter(|(_, entry)| entry.is_for_sticks()) {
            let envelope = self.legible(*sequence);
            releases.extend(envelope.map(|envelope| Release::Receipt { sequence: *sequence, envelope }));
        }
        Ok(Outgoing { outbox, releases })
    }
}
