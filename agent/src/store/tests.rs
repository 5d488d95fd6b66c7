//! What the state folder survives. What needs a second process stands in the scenario tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use casemate_engine::update;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::assignment::Assignment;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::{ClockQuality, GenerationRef};
use casemate_protocol::evidence::{frame, merkle};
use casemate_protocol::tuf::floors::{Floors, RoleFloor, RootFloor, SnapshotFloor, TimestampFloor};
use casemate_protocol::tuf::role::{RoleName, Version};
use casemate_protocol::tuf::time::UtcTime;
use tempfile::TempDir;

use super::*;

fn stamp(second: u64) -> Stamp {
    Stamp { wall: UtcTime::from_unix(1_795_311_555 + second), clock: ClockQuality::Plausible }
}

fn open(folder: &Path) -> (Store, Recovery) {
    Store::open(folder, &Options::default()).unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn floors(root: u64, number: u64) -> Floors {
    let content = Digest::of(&number.to_le_bytes());
    let role = RoleFloor { version: version(number), content: Some(content) };
    Floors {
        root: Some(RootFloor { version: version(root), content: Digest::of(&root.to_le_bytes()) }),
        timestamp: Some(TimestampFloor {
            version: version(number),
            content,
            signers: [content].into(),
            snapshot: version(number),
        }),
        snapshot: Some(SnapshotFloor {
            version: version(number),
            content,
            signers: [content].into(),
            roles: [(RoleName::targets(), role)].into(),
        }),
        ..Floors::default()
    }
}

fn accepted(root: u64, number: u64) -> Record {
    let name = |text: &str| text.parse().unwrap();
    Record::Accepted(Box::new(Accepted {
        trust: Trust { root_version: root, roles: BTreeMap::new() },
        floors: floors(root, number),
        assignment: Assignment {
            transport: None,
            format: 1,
            appliance: name("lux-001"),
            device: Digest::of(b"device"),
            jurisdiction: "LU".parse().unwrap(),
            groups: vec![name("clinics")],
            tenants: Vec::new(),
            boundary: None,
        },
        bundle: OpenBundle {
            timestamp_version: number,
            snapshot: Digest::of(&number.to_le_bytes()),
            archive: None,
            transport: None,
            outcomes: Vec::new(),
            boundary: None,
        },
        transport: None,
    }))
}

fn committed(number: u64) -> Record {
    let current = GenerationRef { number, version: number, manifest: Digest::of(&number.to_le_bytes()) };
    let state = update::State::Committed { current, previous: None, last: number, failed: None };
    Record::Owner { owner: "group.clinics".parse().unwrap(), state }
}

fn receipt(sequence: u64) -> Record {
    let entry = OutboxEntry {
        receipt: Digest::of(&sequence.to_be_bytes()),
        code: Code::Applied,
        subject: Digest::of(&sequence.to_le_bytes()),
        timestamp_version: Some(sequence),
        taken: false,
        taken_by: None,
    };
    Record::Receipt { sequence, entry }
}

/// Bundles 1 to `count`, three commits each; closed in order or dropped as if killed.
fn filled(count: u64, orderly: bool) -> (TempDir, SmallState) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, recovery) = open(folder.path());
    assert_eq!(recovery, Recovery::Fresh);
    for number in 1..=count {
        store.commit(stamp(number), &[accepted(1, number)]).unwrap();
        store.commit(stamp(number), &[committed(number)]).unwrap();
        store.commit(stamp(number), &[receipt(number), Record::Taken { sequence: number, by: None }]).unwrap();
    }
    let state = store.state().clone();
    if orderly {
        store.close(stamp(count)).unwrap();
    }
    (folder, state)
}

/// 12,154 records in 154 commits, over more than two segments, as if killed.
fn filled_large() -> (TempDir, SmallState) {
    let (folder, _) = filled(1, false);
    let (mut store, _) = open(folder.path());
    for number in 1..=150 {
        let records: Vec<Record> = (0..40).map(|at| receipt(number * 40 + at)).chain([accepted(1, number)]).collect();
        let taken: Vec<Record> = (0..40).map(|at| Record::Taken { sequence: number * 40 + at, by: None }).collect();
        store.commit(stamp(number), &[records, taken].concat()).unwrap();
    }
    let state = store.state().clone();
    (folder, state)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .collect();
    found.sort();
    found
}

/// Where each frame of a segment starts, and where the last one ends.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut at = 64;
    let mut found = vec![at];
    while let frame::Found::Frame(frame) = frame::read(&bytes[at..]) {
        at += frame.padded;
        found.push(at);
    }
    found
}

fn sans_stop(state: &SmallState) -> SmallState {
    SmallState { stopped: None, ..state.clone() }
}

#[test]
fn what_was_committed_is_there_after_an_orderly_and_a_sudden_end() {
    for orderly in [true, false] {
        let (folder, state) = filled(20, orderly);
        let (store, recovery) = open(folder.path());
        assert_eq!(sans_stop(store.state()), state);
        let expected = if orderly { Recovery::Clean } else { Recovery::Replayed { records: 80, cut: 0 } };
        assert_eq!(recovery, expected);
        assert_eq!(store.position().size, if orderly { 81 } else { 80 });
    }
}

#[test]
fn the_head_is_the_tree_over_every_entry_in_the_files() {
    let (folder, _) = filled(10, true);
    let bytes = fs::read(&segments(folder.path())[0]).unwrap();
    let leaves: Vec<Digest> = frames(&bytes)
        .into_iter()
        .filter_map(|at| match frame::read(&bytes[at..]) {
            frame::Found::Frame(frame) => Some(frame.records.iter().map(frame::FrameRecord::leaf).collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    let (store, _) = open(folder.path());
    assert_eq!((store.position().size, store.position().root), (41, merkle::root(&leaves)));
}

#[test]
fn a_journal_of_many_segments_opens_from_its_checkpoint_and_without_one_all_the_same() {
    let (folder, state) = filled_large();
    assert!(segments(folder.path()).len() > 2);
    let (store, recovery) = open(folder.path());
    assert!(matches!(recovery, Recovery::Replayed { records, cut: 0 } if records < 1100), "{recovery:?}");
    assert_eq!(store.state(), &state);
    let position = store.position();
    drop(store);
    fs::remove_file(folder.path().join("journal/checkpoint.a")).unwrap();
    fs::remove_file(folder.path().join("journal/checkpoint.b")).unwrap();
    let (store, recovery) = open(folder.path());
    assert_eq!(recovery, Recovery::Replayed { records: 12_154, cut: 0 });
    assert_eq!((store.state(), store.position()), (&state, position));
}

#[test]
fn a_torn_end_is_cut_wherever_it_was_torn_and_writing_goes_on() {
    let (folder, _) = filled(3, false);
    let path = &segments(folder.path())[0];
    let whole = fs::read(path).unwrap();
    let frames = frames(&whole);
    let (last, end) = (frames[frames.len() - 2], frames[frames.len() - 1]);
    for (index, torn) in (last + 1..end - 16).step_by(7).enumerate() {
        // Sectors may arrive in any order: cut from the end, or from the beginning.
        let mut bytes = whole.clone();
        if index % 2 == 0 {
            bytes[torn..end].fill(0);
        } else {
            bytes[last..torn].fill(0);
        }
        fs::write(path, &bytes).unwrap();
        let (mut store, recovery) = open(folder.path());
        assert!(matches!(recovery, Recovery::Replayed { records: 10, cut: 1.. }), "torn at {torn}: {recovery:?}");
        assert_eq!(store.state().receipts, 2);
        assert!(fs::read(path).unwrap()[last..].iter().all(|byte| *byte == 0), "the torn bytes are still there");
        store.commit(stamp(9), &[receipt(3)]).unwrap();
        drop(store);
        let (store, recovery) = open(folder.path());
        assert_eq!((recovery, store.state().receipts), (Recovery::Replayed { records: 11, cut: 0 }, 3));
    }
}

#[test]
fn damage_before_valid_records_keeps_everything_and_refuses_changes() {
    let (folder, state) = filled(6, false);
    let path = &segments(folder.path())[0];
    let whole = fs::read(path).unwrap();
    let frames = frames(&whole);
    // The frame that set the newest floors is left alone: without it, it is the second copy that knows them.
    let newest = frames.len() - 4;
    for (index, at) in frames[..frames.len() - 2].iter().enumerate().filter(|(index, _)| *index != newest) {
        let mut bytes = whole.clone();
        bytes[at + 20 + index] ^= 0x10;
        fs::write(path, &bytes).unwrap();
        let (mut store, recovery) = open(folder.path());
        assert!(
            matches!(recovery, Recovery::Quarantine { damage: Damage::Frame { .. } }),
            "frame {index}: {recovery:?}"
        );
        let error = store.commit(stamp(9), &[receipt(7)]).unwrap_err();
        assert_eq!(error.code(), Code::StateDamaged);
        assert_eq!(store.state().floors, state.floors, "frame {index} took a floor down");
        drop(store);
        assert_eq!(fs::read(path).unwrap(), bytes, "the damaged segment was changed");
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let (folder, _) = filled_large();
    for checkpoint in ["a", "b"] {
        fs::remove_file(folder.path().join("journal/checkpoint.").with_extension(checkpoint)).unwrap();
    }
    fs::remove_file(&segments(folder.path())[1]).unwrap();
    let (_, recovery) = open(folder.path());
    assert!(matches!(recovery, Recovery::Quarantine { damage: Damage::Segment { .. } }), "{recovery:?}");
}

#[test]
fn an_older_journal_beside_a_newer_checkpoint_is_damage_and_the_newer_floors_hold() {
    let (folder, _) = filled(2, true);
    let old = fs::read(&segments(folder.path())[0]).unwrap();
    let (mut store, _) = open(folder.path());
    store.commit(stamp(9), &[accepted(1, 40)]).unwrap();
    store.close(stamp(9)).unwrap();
    fs::write(&segments(folder.path())[0], old).unwrap();
    let (store, recovery) = open(folder.path());
    assert_eq!(recovery, Recovery::Quarantine { damage: Damage::Lost { held: 9, known: 11 } });
    assert_eq!(store.state().floors.floors, floors(1, 40));
}

#[test]
fn one_rotten_checkpoint_costs_nothing_but_replaying() {
    let (folder, state) = filled(4, true);
    for name in ["checkpoint.a", "checkpoint.b"] {
        let path = folder.path().join("journal").join(name);
        let Ok(whole) = fs::read(&path) else { continue };
        for byte in (0..whole.len()).step_by(31) {
            let mut bytes = whole.clone();
            bytes[byte] ^= 4;
            fs::write(&path, &bytes).unwrap();
            let (store, recovery) = open(folder.path());
            assert_eq!((sans_stop(store.state()), recovery), (state.clone(), Recovery::Clean), "{name} byte {byte}");
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn no_flipped_bit_in_the_journal_ever_takes_an_acknowledged_floor_down_unnoticed() {
    let (folder, state) = filled(8, true);
    let path = &segments(folder.path())[0];
    let whole = fs::read(path).unwrap();
    let end = *frames(&whole).last().unwrap();
    for at in (0..end).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(path, &bytes).unwrap();
        let (store, recovery) = open(folder.path());
        let same = sans_stop(store.state()) == state;
        assert!(same || matches!(recovery, Recovery::Quarantine { .. }), "byte {at}: {recovery:?}");
        assert_eq!(store.state().floors, state.floors, "byte {at}");
    }
}

#[test]
fn a_floor_falls_only_under_a_newer_root() {
    let (folder, _) = filled(9, false);
    let (mut store, _) = open(folder.path());
    let before = store.state().clone();
    let refused = store.commit(stamp(10), &[accepted(1, 3)]);
    assert!(matches!(refused, Err(StoreError::FloorLowered { root_version: 1 })), "{refused:?}");
    assert_eq!(store.state(), &before);
    store.commit(stamp(10), &[accepted(2, 3)]).unwrap();
    assert!(store.commit(stamp(10), &[accepted(1, 99)]).is_err(), "back to an older root");
    assert_eq!(store.state().floors.floors, floors(2, 3));
}

#[test]
fn the_higher_of_two_copies_holds_and_a_newer_root_outranks_numbers() {
    let kept = |root, number| KeptFloors { root_version: root, floors: floors(root, number) };
    for (a, b, highest) in [
        (kept(1, 5), kept(1, 9), kept(1, 9)),
        (kept(1, 9), kept(1, 5), kept(1, 9)),
        (kept(2, 3), kept(1, 9), kept(2, 3)),
        (KeptFloors::default(), kept(1, 9), kept(1, 9)),
    ] {
        assert_eq!((a.highest(&b), b.highest(&a)), (highest.clone(), highest.clone()));
        assert!(highest.covers(&a) && highest.covers(&b));
    }
    assert!(!kept(1, 5).covers(&kept(1, 9)) && !kept(1, 9).covers(&kept(2, 3)));
}

#[test]
fn a_second_process_is_told_that_the_folder_is_busy() {
    let (folder, _) = filled(1, true);
    let (_held, _) = open(folder.path());
    let error = Store::open(folder.path(), &Options::default()).unwrap_err();
    assert_eq!(error.code(), Code::StateBusy);
}

#[test]
fn a_transaction_that_fits_no_frame_is_refused_whole() {
    let (folder, _) = filled(1, false);
    let (mut store, _) = open(folder.path());
    let many: Vec<Record> = (0..4000).map(receipt).collect();
    let position = store.position();
    assert!(matches!(store.commit(stamp(1), &many), Err(StoreError::TooLarge { .. })));
    assert_eq!((store.position(), store.state().receipts), (position, 1));
    store.commit(stamp(1), &[receipt(2)]).unwrap();
}

#[test]
fn reading_alone_writes_nothing_and_the_end_stays_orderly() {
    let (folder, _) = filled(2, true);
    let before = fs::read(&segments(folder.path())[0]).unwrap();
    for _ in 0..2 {
        let (store, recovery) = open(folder.path());
        assert_eq!(recovery, Recovery::Clean);
        store.close(stamp(5)).unwrap();
    }
    assert_eq!(fs::read(&segments(folder.path())[0]).unwrap(), before);
}

#[test]
fn a_second_copy_left_by_an_orderly_end_is_used_again_and_a_changed_one_is_set_aside() {
    let (folder, _) = filled(2, true);
    let aside = folder.path().join("copy.set-aside");
    let (mut store, _) = open(folder.path());
    assert!(!aside.exists());
    store.commit(stamp(5), &[accepted(1, 3)]).unwrap();
    assert!(store.is_copied());
    store.close(stamp(5)).unwrap();

    let db = folder.path().join("copy/db");
    let mut bytes = fs::read(&db).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&db, bytes).unwrap();
    let (mut store, recovery) = open(folder.path());
    assert_eq!((recovery, aside.exists()), (Recovery::Clean, true));
    store.commit(stamp(6), &[accepted(1, 4)]).unwrap();
    assert!(store.is_copied() && db.exists());
}

#[test]
fn the_newest_receipts_taken_home_are_remembered_and_the_waiting_ones_all() {
    let mut state = SmallState::default();
    for sequence in 1..=300 {
        state.apply(UtcTime::EPOCH, &receipt(sequence));
    }
    for sequence in 1..=200 {
        state.apply(UtcTime::EPOCH, &Record::Taken { sequence, by: None });
    }
    let held: Vec<u64> = state.outbox.keys().copied().collect();
    assert_eq!(held, (137..=300).collect::<Vec<u64>>());
}

#[test]
fn a_receipt_that_was_taken_over_the_network_is_for_a_stick_all_the_same_and_then_no_more() {
    let mut state = SmallState::default();
    state.apply(UtcTime::EPOCH, &receipt(1));
    let broker = Some(Taker::Peer("broker".parse().unwrap()));
    for (by, waits) in [(broker.clone(), true), (None, false)] {
        state.apply(UtcTime::EPOCH, &Record::Taken { sequence: 1, by: by.clone() });
        let entry = &state.outbox[&1];
        assert_eq!((entry.taken, &entry.taken_by, entry.is_for_sticks()), (true, &by, waits));
    }
    // As earlier programs wrote it, and as it is written now.
    let earlier: Record = serde_json::from_str(r#"{"record":"taken","sequence":1}"#).unwrap();
    assert_eq!(earlier, Record::Taken { sequence: 1, by: None });
    let told = serde_json::to_string(&Record::Taken { sequence: 1, by: broker }).unwrap();
    assert_eq!(told, r#"{"record":"taken","sequence":1,"by":{"peer":"broker"}}"#);
}

#[test]
fn objects_are_whole_read_only_and_collected_when_nobody_names_them() {
    let (folder, _) = filled(1, true);
    let (store, _) = open(folder.path());
    let objects = store.objects();
    let [kept, gone] = objects.put(&[b"kept", b"gone"]).unwrap()[..] else { panic!() };
    let staged = store.staging().join("part");
    fs::write(&staged, b"staged").unwrap();
    let ids =
        objects.take_over(&[(Digest::of(b"staged"), staged.clone())], &[b"beside", b"staged", b"beside"]).unwrap();
    assert_eq!(ids, [b"beside".as_slice(), b"staged", b"beside"].map(Digest::of));
    assert!(!staged.exists() && ids.iter().all(|id| objects.read(id).is_ok()));
    assert!(fs::metadata(objects.path(&kept)).unwrap().permissions().readonly());

    assert_eq!(objects.collect(&[kept].into()).unwrap(), 3);
    assert_eq!((objects.read(&kept).unwrap(), objects.has(&gone)), (b"kept".to_vec(), false));

    fs::remove_file(objects.path(&kept)).unwrap();
    fs::write(objects.path(&kept), b"rotten").unwrap();
    assert_eq!(objects.read(&kept).unwrap_err().code(), Code::ObjectMismatch);
    objects.put(&[b"kept"]).unwrap();
    assert_eq!(objects.read(&kept).unwrap(), b"kept", "rot was not healed");
}
