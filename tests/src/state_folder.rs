//! A state folder and its trees, carried from bundle to bundle as the runtime does it, without a bundle's metadata.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use casemate_agent::apply::{self, Change, Ledger, TreeFile, Trees};
use casemate_agent::store::{
    Accepted, OpenBundle, Options, OutboxEntry, Record, Recovery, Stamp, Store, StoreError, Trust,
};
use casemate_engine::time::{BootId, Moment, Now};
use casemate_engine::update::{self, Generation, Report, State};
use casemate_protocol::bundle::manifest::{Apply, FileEntry, Manifest};
use casemate_protocol::bundle::part::{Part, object_id};
use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::code::Code;
use casemate_protocol::device::assignment::Assignment;
use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{ClockQuality, OwnerOutcome};
use casemate_protocol::tuf::floors::{Floors, RootFloor, TimestampFloor};
use casemate_protocol::tuf::role::Version;
use casemate_protocol::tuf::time::UtcTime;

/// The two owners every appliance here serves.
pub const OWNERS: [&str; 2] = ["group.clinics", "tenant.hospital"];

/// A store with its trees.
pub struct StateFolder {
    store: Store,
    trees: Trees,
    /// What goes into the journal together with the next change.
    ahead: Vec<Record>,
}

/// Program and argument that read out a second copy.
#[must_use]
pub fn probe(program: &str) -> Options {
    Options { probe: Some((PathBuf::from(program), vec![OsString::from("probe")])) }
}

/// No owner of these folders waits for a time.
fn now() -> Now {
    let moment = Moment { boot: BootId::of("test"), uptime_seconds: 60 };
    Now { moment, wall: UtcTime::from_unix(1_795_311_555), clock: ClockQuality::Plausible }
}

fn consumer() -> Name {
    "synapse".parse().unwrap()
}

fn stamp(version: u64) -> Stamp {
    Stamp { wall: UtcTime::from_unix(1_795_311_555 + version), clock: ClockQuality::Plausible }
}

/// The files of an owner's content `version`: path → bytes.
#[must_use]
pub fn content(owner: &str, version: u64) -> BTreeMap<String, Vec<u8>> {
    let text = |what: &str| format!("{what} of {owner}, version {version}\n").into_bytes();
    BTreeMap::from([
        ("shared.conf".into(), b"the same in every version\n".to_vec()),
        ("etc/service.conf".into(), text("configuration")),
        ("etc/deep/list".into(), text("list").repeat(200)),
    ])
}

/// What stands under `current` now, as a consumer reads it.
#[must_use]
pub fn current(folder: &Path, owner: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let owner: Owner = owner.parse().unwrap();
    let root = Trees::new(folder).current_path(&owner);
    root.exists().then(|| {
        let mut files = BTreeMap::new();
        read_tree(&root, &root, &mut files);
        files
    })
}

fn read_tree(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_tree(root, &path, files);
        } else {
            files.insert(path.strip_prefix(root).unwrap().to_str().unwrap().into(), fs::read(&path).unwrap());
        }
    }
}

fn manifest(owner: &Owner, files: &BTreeMap<String, Vec<u8>>) -> Manifest {
    let entry = |(path, bytes): (&String, &Vec<u8>)| {
        let part = Part { target: path.clone(), offset: 0, length: bytes.len() as u64, sha256: Digest::of(bytes) };
        FileEntry { path: path.parse().unwrap(), length: part.length, parts: vec![part], consumer: None }
    };
    Manifest {
        format: 1,
        owner: owner.clone(),
        summary: "test".into(),
        files: files.iter().map(entry).collect(),
        apply: Apply::default(),
        consumers: BTreeMap::new(),
    }
}

impl StateFolder {
    /// Opens the state in `folder` and finishes what a crash left undone.
    #[must_use]
    pub fn open(folder: &Path, options: &Options) -> (Self, Recovery) {
        let (store, recovery) = Store::open(folder, options).unwrap();
        let mut appliance = Self { store, trees: Trees::new(folder), ahead: Vec::new() };
        if !matches!(recovery, Recovery::Quarantine { .. }) {
            let (trees, states) = (appliance.trees.clone(), appliance.store.state().owners.clone());
            apply::recover(&trees, &mut appliance, &now(), &states).unwrap();
            let settled = appliance.store.state().owners.values().all(State::is_settled);
            if settled && appliance.store.state().bundle.is_some() {
                // On a full disk it waits: the bundle stays open until there is room.
                let _ = appliance.write_receipt();
            }
        }
        (appliance, recovery)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Carries out version `version` of both owners, to the receipt.
    ///
    /// # Errors
    /// The store refuses; whatever is journalled is finished by the next [`Self::open`].
    pub fn import(&mut self, version: u64) -> Result<(), StoreError> {
        self.begin(version, &Terms::default())?;
        self.write_receipt()
    }

    /// Carries out version `version` of both owners up to its trial, then has the first owner's consumer fail and the
    /// second's be ready, to the receipt.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn try_out(&mut self, version: u64) -> Result<(), StoreError> {
        let awaited = [consumer()].into();
        self.begin(version, &Terms { awaited, deadline_seconds: 600, ..Terms::default() })?;
        self.decide()
    }

    /// Has the trials under way end as in [`Self::try_out`].
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn decide(&mut self) -> Result<(), StoreError> {
        for (name, report) in OWNERS.into_iter().zip([Report::Failed { reason: None }, Report::Ready]) {
            let owner: Owner = name.parse().unwrap();
            let Some(State::Probation { next, .. }) = self.store.state().owners.get(&owner) else { continue };
            let event = update::Event::Reported { number: next.number, consumer: consumer(), report };
            self.drive(vec![(owner, event)])?;
        }
        let settled = self.store.state().owners.values().all(State::is_settled);
        if settled && self.store.state().bundle.is_some() { self.write_receipt() } else { Ok(()) }
    }

    fn begin(&mut self, version: u64, terms: &Terms) -> Result<(), StoreError> {
        let mut events = Vec::new();
        for name in OWNERS {
            let owner: Owner = name.parse().unwrap();
            let files = content(name, version);
            let manifest = serde_json::to_vec(&manifest(&owner, &files)).unwrap();
            let mut staged = Vec::new();
            for bytes in files.values() {
                let id = Digest::of(bytes);
                let path = self.store.staging().join(id.to_string());
                let _ = fs::remove_file(&path);
                fs::write(&path, bytes).map_err(|source| match source.kind() {
                    ErrorKind::StorageFull => StoreError::DiskFull { path: path.clone(), wanted: bytes.len() as u64 },
                    _ => StoreError::File { action: "write", path: path.clone(), source },
                })?;
                staged.push((id, path));
            }
            let manifest = self.store.objects().take_over(&staged, &[&manifest])?[0];
            events.push((owner, update::Event::Offered(update::Offer { version, manifest, terms: terms.clone() })));
        }
        self.ahead = vec![accepted(version)];
        self.drive(events)
    }

    fn drive(&mut self, events: Vec<(Owner, update::Event)>) -> Result<(), StoreError> {
        let trees = self.trees.clone();
        match apply::drive(&trees, self, &now(), events) {
            Ok(()) => Ok(()),
            Err(apply::DriveError::Ledger(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    fn write_receipt(&mut self) -> Result<(), StoreError> {
        let state = self.store.state();
        let bundle = state.bundle.clone().unwrap();
        let sequence = state.receipts + 1;
        let text = format!("receipt {sequence} for {}", bundle.timestamp_version);
        let receipt = self.store.objects().put(&[text.as_bytes()])?[0];
        let entry = OutboxEntry {
            receipt,
            code: bundle.outcomes.iter().map(|outcome| outcome.code).max().unwrap_or(Code::AlreadyApplied),
            subject: bundle.snapshot,
            timestamp_version: Some(bundle.timestamp_version),
            taken: false,
            taken_by: None,
        };
        self.store.commit(stamp(bundle.timestamp_version), &[Record::Receipt { sequence, entry }])?;
        Ok(())
    }

    /// Closes in order.
    ///
    /// # Errors
    /// As [`Store::close`].
    pub fn close(self) -> Result<(), StoreError> {
        self.store.close(stamp(0))
    }
}

fn accepted(version: u64) -> Record {
    let name = |text: &str| text.parse::<Name>().unwrap();
    let digest = Digest::of(&version.to_le_bytes());
    let floors = Floors {
        root: Some(RootFloor { version: Version::FIRST, content: Digest::of(b"root") }),
        timestamp: Some(TimestampFloor {
            version: Version::new(version).unwrap(),
            content: digest,
            signers: [digest].into(),
            snapshot: Version::new(version).unwrap(),
        }),
        ..Floors::default()
    };
    Record::Accepted(Box::new(Accepted {
        trust: Trust { root_version: 1, roles: BTreeMap::new() },
        floors,
        assignment: Assignment {
            format: 1,
            appliance: name("lux-001"),
            device: Digest::of(b"device"),
            jurisdiction: "LU".parse().unwrap(),
            groups: vec![name("clinics")],
            tenants: vec![name("hospital")],
            boundary: None,
            transport: None,
        },
        bundle: OpenBundle {
            timestamp_version: version,
            snapshot: digest,
            archive: None,
            transport: None,
            outcomes: Vec::new(),
            boundary: None,
        },
        transport: None,
    }))
}

impl Ledger for StateFolder {
    type Error = StoreError;

    fn state(&self, owner: &Owner) -> State {
        self.store.state().owners.get(owner).cloned().unwrap_or_default()
    }

    fn journal(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let version = self.store.state().bundle.as_ref().map_or(0, |bundle| bundle.timestamp_version);
        let record = |change| match change {
            Change::Moved { owner, state } => Record::Owner { owner, state },
            Change::Settled { owner, settlement } => Record::Outcome(OwnerOutcome {
                id: owner,
                code: settlement.code,
                before: settlement.before,
                after: settlement.after,
            }),
        };
        let records: Vec<Record> = self.ahead.drain(..).chain(changes.into_iter().map(record)).collect();
        if records.is_empty() {
            return Ok(());
        }
        self.store.commit(stamp(version), &records).map(|_| ())
    }

    fn files(&self, _owner: &Owner, generation: &Generation) -> Result<Vec<TreeFile>, StoreError> {
        let objects = self.store.objects();
        let manifest: Manifest = serde_json::from_slice(&objects.read(&generation.manifest)?).unwrap();
        let file =
            |file: &FileEntry| TreeFile { path: file.path.clone(), object: objects.path(&object_id(&file.parts)) };
        Ok(manifest.files.iter().map(file).collect())
    }
}
