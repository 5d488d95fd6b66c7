//! Archives: whatever the bytes and however they are cut, the reader answers the same, and what it accepts is the one
//! spelling of what it said. Then a good bundle, edited: what the judge accepts is what was signed.
//!
//! The first byte chooses: even, the rest is an archive; odd, it is a list of edits to a golden bundle.
#![no_main]

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Device, Disposition};
use casemate_protocol::bundle::archive::{ArchiveError, Event, Member, MemberKind, Reader, Writer};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::{Client, Rules, Stored};
use casemate_protocol::tuf::time::{Clock, UtcTime};
use libfuzzer_sys::fuzz_target;

const GOLDEN: &[u8] = include_bytes!("../../vectors/golden-v1/sample.casemate");
const ROOT: &[u8] = include_bytes!("../../vectors/golden-v1/1.root.json");

type Members = Vec<(MemberKind, Vec<u8>)>;

fn read(archive: &[u8], step: usize) -> Result<Members, ArchiveError> {
    let mut reader = Reader::new();
    let mut members: Members = Vec::new();
    for mut piece in archive.chunks(step) {
        while let Some(event) = reader.read(&mut piece)? {
            match event {
                Event::Member(member) => members.push((member.kind, Vec::new())),
                Event::Data(bytes) => members.last_mut().expect("content follows a header").1.extend_from_slice(bytes),
                Event::MemberEnd | Event::End => {}
            }
        }
    }
    assert!(reader.offset() <= archive.len() as u64);
    reader.finish().map(|()| members)
}

fn write(members: &Members) -> Vec<u8> {
    let mut archive = Vec::new();
    for (kind, content) in members {
        Writer::append(&mut archive, kind, content).expect("it was read");
    }
    archive.extend_from_slice(Writer::end());
    archive
}

fn raw(archive: &[u8]) {
    let whole = read(archive, usize::MAX);
    for step in [1, 511, 512, 700] {
        assert_eq!(read(archive, step), whole, "cut into {step}");
    }
    if let Ok(members) = whole {
        assert_eq!(write(&members), archive, "there is one spelling");
    }
}

/// Moves, copies, drops and changes members as `script` says, three bytes at a time.
fn edit(members: &mut Members, script: &[u8]) {
    for step in script.chunks_exact(3).take(32) {
        let [verb, from, to] = [usize::from(step[0]), usize::from(step[1]), usize::from(step[2])];
        let count = members.len();
        if count == 0 {
            return;
        }
        let (from, at) = (from % count, to % count);
        match verb % 5 {
            0 => members.swap(from, at),
            1 => members.insert(at, members[from].clone()),
            2 => drop(members.remove(from)),
            3 => members[from].1[0] ^= step[2].max(1),
            _ => members[from].0 = members[at].0.clone(),
        }
    }
}

fn judged(members: &Members, appliance: &str) {
    let clock = Clock {
        wall: "2026-03-02T00:00:00Z".parse().expect("a time"),
        build: UtcTime::EPOCH,
        offline_span_days: 99_999,
    };
    let stored = Stored { root: ROOT.to_vec(), ..Stored::default() };
    let client = Client::new(stored, Rules::Casemate, clock).expect("a good root");
    let device = Device {
        id: appliance.parse().expect("a name"),
        jurisdiction: "LU".parse().expect("a code"),
        keys: Digest::of(appliance.as_bytes()),
    };
    let mut appraisal = Appraisal::new(client, Audience::Appliance(device));
    let mut staged = std::collections::BTreeSet::new();
    for (kind, content) in members {
        let member = Member { kind: kind.clone(), length: content.len() as u64 };
        let mut answer = appraisal.member(Some(&member));
        if matches!(answer, Ok(Disposition::Settle)) {
            appraisal.settle();
            answer = appraisal.member(Some(&member));
        }
        match answer {
            Err(_) => return,
            Ok(Disposition::Read) if appraisal.content(content).is_err() => return,
            Ok(Disposition::Stage(_)) => {
                let digest = Digest::of(content);
                if *kind != (MemberKind::Object { digest }) {
                    return;
                }
                assert!(staged.insert(digest), "nothing is staged twice");
                appraisal.staged(&digest, member.length);
            }
            Ok(Disposition::Settle) => panic!("settled already"),
            Ok(Disposition::Read | Disposition::Skip) => {}
        }
    }
    if let Ok(verdict) = appraisal.finish() {
        // An owner whose metadata was edited fails alone; of every other one all is there.
        for manifest in verdict.addressee.owners.into_iter().filter_map(|owner| owner.outcome.ok()) {
            for wanted in manifest.objects {
                assert!(wanted.parts.iter().all(|part| staged.contains(&part.sha256)), "accepted means whole");
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    if choice % 2 == 0 {
        raw(rest);
    } else {
        let mut members = read(GOLDEN, usize::MAX).expect("golden");
        edit(&mut members, rest);
        judged(&members, if choice & 2 == 0 { "lux-001" } else { "lux-002" });
    }
});
