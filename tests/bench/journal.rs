//! A journal commit against a bare `O_DSYNC` write into a preallocated file, and opening 100,000 records.
//!
//! `casemate-bench-journal FOLDER` works in FOLDER, which it makes and removes. CPU is this process's; commit and bare
//! write alternate, so that both see the same disk.
#![allow(clippy::unwrap_used, reason = "a benchmark stops where it stands")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use casemate_agent::store::{Options, Record, Recovery, Refusal, Stamp, Store, probe};
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::ClockQuality;
use casemate_protocol::tuf::time::UtcTime;
use nix::fcntl::OFlag;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

const COMMITS: u32 = 2_000;
const RECORDS: u64 = 100_000;
/// Bytes of a frame with one record of the kind used here: what the bare write writes.
const FRAME: usize = 272;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["probe", folder] => probe(Path::new(folder), &mut std::io::stdout()).unwrap(),
        [folder] => {
            let folder = Path::new(folder);
            fs::create_dir_all(folder).unwrap();
            commits(folder);
            opens(&folder.join("large"));
            fs::remove_dir_all(folder).unwrap();
        }
        _ => eprintln!("casemate-bench-journal FOLDER"),
    }
}

fn options() -> Options {
    Options { probe: Some((std::env::current_exe().unwrap(), vec!["probe".into()])) }
}

fn stamp() -> Stamp {
    Stamp { wall: UtcTime::from_unix(1_795_311_555), clock: ClockQuality::Plausible }
}

fn record(number: u64) -> Record {
    let refusal = Refusal { day: 20_000, count: number, input: Digest::of(&number.to_le_bytes()) };
    Record::Refused { code: Code::MetadataUnsigned, refusal }
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

/// A file written full of zeros and opened for durable writes: the least a commit can cost.
fn preallocated(path: &Path) -> File {
    let length = FRAME.next_multiple_of(16) * COMMITS as usize;
    let mut file = File::create(path).unwrap();
    file.write_all(&vec![0; length]).unwrap();
    file.sync_all().unwrap();
    OpenOptions::new().write(true).custom_flags(OFlag::O_DSYNC.bits()).open(path).unwrap()
}

#[derive(Default)]
struct Times {
    wall: Vec<Duration>,
    cpu: Duration,
}

impl Times {
    fn take(&mut self, work: impl FnOnce()) {
        let (start, before) = (Instant::now(), cpu());
        work();
        self.wall.push(start.elapsed());
        self.cpu += cpu() - before;
    }

    fn median(&mut self) -> f64 {
        self.wall.sort();
        self.wall[self.wall.len() / 2].as_secs_f64() * 1e6
    }

    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(COMMITS)
    }
}

fn commits(folder: &Path) {
    let (mut store, _) = Store::open(&folder.join("small"), &options()).unwrap();
    store.commit(stamp(), &[record(0)]).unwrap();
    let bare = preallocated(&folder.join("bare"));
    let (mut ours, mut floor) = (Times::default(), Times::default());
    let bytes = vec![0x5a; FRAME];
    for number in 0..u64::from(COMMITS) {
        let record = record(number);
        ours.take(|| {
            store.commit(stamp(), std::slice::from_ref(&record)).unwrap();
        });
        floor.take(|| bare.write_all_at(&bytes, number * FRAME as u64).unwrap());
    }
    store.close(stamp()).unwrap();
    let (ours_median, floor_median) = (ours.median(), floor.median());
    println!(
        "Journal commit of one record against a bare O_DSYNC write of as many bytes ({COMMITS} each, alternating)"
    );
    println!("  commit: median {ours_median:.0} µs, CPU {:.1} µs", ours.cpu());
    println!("  bare write: median {floor_median:.0} µs, CPU {:.1} µs", floor.cpu());
    println!("  ratio of medians: {:.2}", ours_median / floor_median);
}

fn opens(folder: &Path) {
    println!("Opening a state of {RECORDS} records");
    let (mut store, _) = Store::open(folder, &options()).unwrap();
    let batch: u64 = 50;
    for number in 0..RECORDS / batch {
        let records: Vec<Record> = (0..batch).map(|at| record(number * batch + at)).collect();
        store.commit(stamp(), &records).unwrap();
    }
    drop(store);
    timed_open(folder, "after a kill");
    let (mut store, _) = Store::open(folder, &options()).unwrap();
    store.commit(stamp(), &[record(0)]).unwrap();
    store.close(stamp()).unwrap();
    timed_open(folder, "after an orderly end");
    for name in ["checkpoint.a", "checkpoint.b"] {
        fs::remove_file(folder.join("journal").join(name)).unwrap();
    }
    timed_open(folder, "both checkpoints lost");
    println!("  on disk: {:.1} MiB", size(folder.into()) as f64 / 1_048_576.0);
}

fn timed_open(folder: &Path, what: &str) {
    let (start, before) = (Instant::now(), cpu());
    let (store, recovery) = Store::open(folder, &options()).unwrap();
    let (wall, cpu) = (start.elapsed(), cpu() - before);
    assert!(!matches!(recovery, Recovery::Quarantine { .. }) && store.position().size >= RECORDS);
    let folded = if let Recovery::Replayed { records, .. } = recovery { records } else { 0 };
    println!(
        "  {what}: {:.1} ms, CPU {:.1} ms, {folded} records folded",
        wall.as_secs_f64() * 1e3,
        cpu.as_secs_f64() * 1e3
    );
}

fn size(folder: PathBuf) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { size(path) } else { fs::metadata(path).unwrap().len() }).sum()
}
