use std::collections::BTreeMap;

use casemate_protocol::tuf::role::{RoleKeys, Version};
use casemate_protocol::tuf::root::Profile;
use casemate_protocol::tuf::time::UtcTime;

use super::*;
use crate::plan::object::target_file;
use crate::repository::editor::{Content, Editor, Renewal};
use crate::repository::founding::Founding;
use crate::repository::state::State;
use crate::signer::{FileKey, Keyring};
use crate::site::settings::{Expiry, Settings};

struct Repository {
    folder: tempfile::TempDir,
    place: Place,
    keyring: Keyring,
    settings: Settings,
}

const NOW: u64 = 1_772_366_400;

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("repository"));
        for made in [place.metadata(), place.targets()] {
            fs::create_dir_all(made).unwrap();
        }
        let key = FileKey::make(&folder.path().join("all.key")).unwrap();
        let keys = BTreeMap::from([(key.keyid().clone(), key.document().clone())]);
        let role = RoleKeys { keyids: vec![key.keyid().clone()], threshold: 1 };
        let names = [RoleName::root(), RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()];
        let roles = names.map(|name| (name, role.clone())).into();
        let mut keyring = Keyring::default();
        keyring.add(key);
        let profile = Profile {
            format: 1,
            persons: BTreeMap::new(),
            jurisdiction: "LU".parse().unwrap(),
            envelope: None,
            demo: true,
            keys: BTreeMap::new(),
        };
        let settings = Settings::parse("format = 1\njurisdiction = \"LU\"\n").unwrap();
        let (expiry, now) = (Expiry::DEFAULT, UtcTime::from_unix(NOW));
        let issue = Founding { keyring: &keyring, keys, roles, profile, expiry, now }.issue().unwrap();
        let lock = Lock::take(&place).unwrap();
        Writer::new(&place, &lock).publish(&[], &issue).unwrap();
        drop(lock);
        Self { folder, place, keyring, settings }
    }

    fn state(&self) -> State {
        State::read(self.place.clone()).unwrap()
    }

    /// Publishes one target with `text`; `between` may pull the plug.
    fn publish(
        &self,
        text: &str,
        between: &mut dyn FnMut(Step) -> io::Result<()>,
    ) -> Result<Vec<Version>, RepositoryError> {
        let source = self.folder.path().join("source");
        fs::write(&source, text).unwrap();
        let (path, digest) = ("groups/g/files/a/b".to_owned(), Digest::of(text.as_bytes()));
        let targets = BTreeMap::from([(path.clone(), target_file(text.len() as u64, &digest))]);
        let groups = BTreeMap::from([("g".parse().unwrap(), targets)]);
        let content = Content { groups, ..Content::default() };
        let state = self.state();
        let editor = Editor { state: &state, settings: &self.settings, now: UtcTime::from_unix(NOW + 60) };
        let drafts = editor.drafts(&content, Renewal::Changed).unwrap();
        let sign = |draft: &crate::repository::editor::Draft| {
            let allowed = editor.signers(&draft.role, &drafts).unwrap().keyids;
            let signatures = self.keyring.sign(&draft.signed, &allowed).unwrap();
            let raw = casemate_protocol::signed::assemble(&draft.signed, signatures).unwrap();
            (draft.role.clone(), raw)
        };
        let documents = drafts.iter().map(sign).collect();
        let issue = editor.issue(&drafts, &documents, &self.keyring).unwrap();
        let lock = Lock::take(&self.place).unwrap();
        let new = NewTarget { path, digest, source };
        Writer::new(&self.place, &lock).publish_stepwise(&[new], &issue, between)?;
        Ok(issue.metadata.iter().map(|(_, version, _)| *version).collect())
    }

    fn bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.place.metadata()).unwrap().map(Result::unwrap);
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.map(|name| (name.clone(), fs::read(self.place.metadata().join(name)).unwrap())).collect()
    }
}

fn pull() -> io::Error {
    io::Error::other("the plug was pulled")
}

#[test]
fn whenever_the_plug_is_pulled_the_old_state_is_whole_and_no_version_is_used_twice() {
    // targets, group.g, snapshot, timestamp: one step each, one before and one after them.
    for cut in 0..6 {
        let repository = Repository::new();
        repository.publish("first", &mut |_| Ok(())).unwrap();
        let before = repository.state().digest();
        let mut steps = 0;
        let result = repository.publish("second", &mut |_| {
            steps += 1;
            if steps > cut { Err(pull()) } else { Ok(()) }
        });
        if result.is_ok() {
            // Group, snapshot and timestamp only: fewer steps than cuts.
            assert!(steps <= cut);
            continue;
        }
        assert_eq!(repository.state().digest(), before, "cut {cut}: the old state is still current");
        let left = repository.bytes();
        repository.publish("third", &mut |_| Ok(())).unwrap();
        let state = repository.state();
        assert_ne!(state.digest(), before);
        for (name, raw) in left.iter().filter(|(name, _)| *name != "timestamp.json") {
            assert_eq!(repository.bytes().get(name), Some(raw), "cut {cut}: {name} was lost or replaced");
        }
        let path = "groups/g/files/a/b";
        let role = RoleName::strict("group.g").unwrap();
        let target = state.target(&role, path).unwrap();
        let (file, _) = state.target_file(path, target).unwrap();
        assert_eq!(fs::read(file).unwrap(), b"third");
    }
}

#[test]
fn the_timestamp_is_the_last_thing_that_changes() {
    let repository = Repository::new();
    let before = repository.bytes()["timestamp.json"].clone();
    let mut seen = Vec::new();
    let timestamp = repository.place.timestamp();
    repository
        .publish("first", &mut |step| {
            assert_eq!(fs::read(&timestamp).unwrap(), before);
            seen.push(step);
            Ok(())
        })
        .unwrap();
    assert_eq!((seen.first(), seen.last()), (Some(&Step::Targets), Some(&Step::Timestamp)));
    assert_ne!(repository.bytes()["timestamp.json"], before);
}

#[test]
fn a_target_that_is_not_what_was_planned_is_not_published() {
    let repository = Repository::new();
    let source = repository.folder.path().join("other");
    fs::write(&source, "swapped").unwrap();
    let lock = Lock::take(&repository.place).unwrap();
    let target = NewTarget { path: "a/b".into(), digest: Digest::of(b"planned"), source };
    let result = Writer::new(&repository.place, &lock).add_target(&target);
    assert!(matches!(result, Err(RepositoryError::Mismatch { .. })));
    assert_eq!(fs::read_dir(repository.place.targets().join("a")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_version_on_disk_is_never_replaced() {
    let repository = Repository::new();
    let path = repository.place.version(&RoleName::targets(), Version::FIRST);
    let lock = Lock::take(&repository.place).unwrap();
    let writer = Writer::new(&repository.place, &lock);
    let standing = fs::read(&path).unwrap();
    assert!(matches!(writer.add_version(&path, b"other"), Err(RepositoryError::VersionTaken(_))));
    writer.add_version(&path, &standing).unwrap();
    assert_eq!(fs::read(&path).unwrap(), standing);
}

#[test]
fn the_lock_is_held_by_one_and_freed_by_its_end() {
    let repository = Repository::new();
    let first = Lock::take(&repository.place).unwrap();
    assert!(matches!(Lock::take(&repository.place), Err(RepositoryError::Busy(_))));
    drop(first);
    Lock::take(&repository.place).unwrap();
}
