//! The caged child and its parent over real files.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use casemate_agent::intake::{Input, IntakeError, Launcher, Order, Progress, Survey};
use casemate_protocol::bundle::appraisal::{Verdict, Wanted};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_tests::repository::{Bundle, Site, clock, device};
use tempfile::TempDir;

const CHILD: &str = env!("CARGO_BIN_EXE_intake-child");
/// More than one part: 64 MiB and a rest that fills no block.
const LARGE: usize = (64 << 20) + 12_345;

struct Bench {
    folder: TempDir,
    order: Order,
}

impl Bench {
    fn new(site: &Site) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("staging")).unwrap();
        Self { folder, order: Order { stored: site.stored(), device: device("lux-001"), clock: clock(), reserve: 0 } }
    }

    fn staging(&self) -> PathBuf {
        self.folder.path().join("staging")
    }

    fn input(&self, bytes: &[u8]) -> Input {
        let path = self.folder.path().join("input.casemate");
        std::fs::write(&path, bytes).unwrap();
        Input::open(&path).unwrap()
    }

    fn import(&self, bytes: &[u8]) -> Result<Verdict, IntakeError> {
        self.import_input(&self.input(bytes), &mut |_| {})
    }

    fn import_input(&self, input: &Input, progress: &mut dyn FnMut(Progress)) -> Result<Verdict, IntakeError> {
        Launcher::program(Path::new(CHILD)).import(input, &self.order, &self.staging(), &|_| None, progress)
    }

    fn survey(&self, bytes: &[u8]) -> Result<Survey, IntakeError> {
        Launcher::program(Path::new(CHILD)).survey(&self.input(bytes), &self.order, &self.staging())
    }

    fn staged(&self) -> BTreeSet<String> {
        let names = std::fs::read_dir(self.staging()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|index| ((index * 31) >> 9) as u8).collect()
}

/// A bundle of one large file, and the positions of its two parts in the archive's members.
fn large_bundle() -> (Site, Bundle, Vec<u8>) {
    let content = large();
    let site = Site::single(content.clone());
    let bundle = site.issue().bundle();
    (site, bundle, content)
}

fn remains(error: &IntakeError) -> &casemate_agent::intake::Remains {
    match error {
        IntakeError::Refused { remains, .. } => remains,
        other => panic!("{other}"),
    }
}

#[test]
fn a_bundle_is_staged_under_hashes_and_nothing_else() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    let verdict = bench.import(&site.issue().bundle().bytes()).unwrap();
    let manifest = verdict.addressee.owners[0].outcome.as_ref().unwrap();
    let expected: BTreeSet<_> = manifest.objects.iter().map(|wanted| wanted.object.to_string()).collect();
    assert_eq!(bench.staged(), expected);
    for wanted in &manifest.objects {
        let content = std::fs::read(bench.staging().join(wanted.object.to_string())).unwrap();
        assert_eq!(Digest::of(&content), wanted.object);
    }
}

#[test]
fn parts_are_joined_in_one_file_and_progress_reaches_the_total() {
    let (site, bundle, content) = large_bundle();
    let bench = Bench::new(&site);
    let input = bench.input(&bundle.bytes());
    let last = RefCell::new(None);
    let verdict = bench.import_input(&input, &mut |progress| *last.borrow_mut() = Some(progress)).unwrap();
    let wanted = &verdict.addressee.owners[0].outcome.as_ref().unwrap().objects[0];
    assert_eq!(wanted.parts.len(), 2);
    assert_eq!(bench.staged(), [wanted.object.to_string()].into());
    assert!(std::fs::read(bench.staging().join(wanted.object.to_string())).unwrap() == content);
    let last = last.borrow().unwrap();
    assert_eq!(last.total, content.len() as u64);
}

#[test]
fn a_bad_part_is_named_and_the_good_one_is_not_written_again() {
    let (site, bundle, content) = large_bundle();
    let bench = Bench::new(&site);
    let mut bad = bundle.clone();
    let at = bad.position(&content[64 << 20..]);
    bad.members[at].1[7] ^= 1;
    let name = bundle.members[at].0.to_string();
    let error = bench.import(&bad.bytes()).unwrap_err();
    assert_eq!(error.code(), Code::ObjectMismatch);
    assert!(error.to_string().contains(&name), "{error}");
    let progress = RefCell::new(Vec::new());
    let input = bench.input(&bundle.bytes());
    bench.import_input(&input, &mut |step| progress.borrow_mut().push(step)).unwrap();
    let rest = (LARGE - (64 << 20)) as u64;
    assert!(progress.borrow().iter().all(|step| step.total == rest), "only the bad part is staged again");
}

#[test]
fn a_whole_bad_object_leaves_nothing_behind() {
    let content = large()[..3 << 20].to_vec();
    let site = Site::single(content.clone());
    let bench = Bench::new(&site);
    let mut bundle = site.issue().bundle();
    let at = bundle.position(&content);
    bundle.members[at].1[1 << 20] ^= 1;
    assert_eq!(bench.import(&bundle.bytes()).unwrap_err().code(), Code::ObjectMismatch);
    assert!(bench.staged().is_empty());
}

#[test]
fn a_bundle_cut_inside_a_part_resumes_after_the_parts_that_were_whole() {
    let (site, bundle, _) = large_bundle();
    let bench = Bench::new(&site);
    let bytes = bundle.bytes();
    let error = bench.import(&bytes[..bytes.len() - 5000]).unwrap_err();
    assert_eq!(error.code(), Code::ArchiveTruncated);
    assert!(remains(&error).snapshot.is_some());
    let first = RefCell::new(None);
    let input = bench.input(&bytes);
    bench
        .import_input(&input, &mut |step| {
            first.borrow_mut().get_or_insert(step);
        })
        .unwrap();
    assert_eq!(first.borrow().unwrap().total, (LARGE - (64 << 20)) as u64);
}

#[test]
fn a_small_bundle_cut_at_any_block_is_truncated_and_changes_nothing_for_the_next_import() {
    let mut site = Site::sample();
    site.root = 2;
    let bench = Bench::new(&site);
    let bytes = site.issue().bundle().bytes();
    for length in (0..bytes.len()).step_by(512) {
        let error = bench.import(&bytes[..length]).unwrap_err();
        assert_eq!(error.code(), Code::ArchiveTruncated, "at {length}: {error}");
        let remains = remains(&error);
        assert!(remains.snapshot.is_some() || remains.input == Some(Digest::of(&bytes[..length])), "at {length}");
    }
    let verdict = bench.import(&bytes).unwrap();
    assert_eq!(verdict.trust.roots.len(), 1);
}

#[test]
fn objects_staged_before_are_neither_trusted_blindly_nor_written_again() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    let bytes = site.issue().bundle().bytes();
    bench.import(&bytes).unwrap();
    let name = bench.staged().into_iter().next().unwrap();
    let damaged = bench.staging().join(&name);
    let length = std::fs::metadata(&damaged).unwrap().len();
    std::fs::write(&damaged, vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
    let progress = RefCell::new(Vec::new());
    bench.import_input(&bench.input(&bytes), &mut |step| progress.borrow_mut().push(step)).unwrap();
    assert_eq!(progress.borrow()[0].total, length, "only the damaged one");
    assert_eq!(Digest::of(&std::fs::read(&damaged).unwrap()).to_string(), name);
}

#[test]
fn what_is_held_elsewhere_is_not_staged() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    let input = bench.input(&site.issue().bundle().bytes());
    let launcher = Launcher::program(Path::new(CHILD));
    let content = site.issue().content;
    let held: BTreeMap<_, _> = content.values().map(|content| (Digest::of(content), content.len() as u64)).collect();
    let holds = |id: &Digest| held.get(id).copied();
    launcher.import(&input, &bench.order, &bench.staging(), &holds, &mut |_| {}).unwrap();
    assert!(bench.staged().is_empty());
}

#[test]
fn a_wrong_length_for_shared_content_costs_its_owner_alone_wherever_the_content_comes_from() {
    let mut site = Site::contested();
    let mut bench = Bench::new(&site);
    bench.order.device = device("lux-002");
    let codes = |verdict: Verdict| {
        let owners = verdict.addressee.owners.into_iter();
        owners.map(|owner| owner.outcome.err().map(|refusal| refusal.code())).collect::<Vec<_>>()
    };
    let bytes = site.issue().bundle().bytes();
    let expected = [None, Some(Code::ManifestInvalid), None];
    assert_eq!(codes(bench.import(&bytes).unwrap()), expected, "from the bundle");
    assert_eq!(codes(bench.import(&bytes).unwrap()), expected, "staged before");
    // The content is in the bundle, but only the liar wants it here.
    site.assign("lux-002", &["labs"], &["north"]);
    assert_eq!(codes(bench.import(&site.issue().bundle().bytes()).unwrap()), expected[1..]);
}

#[test]
fn the_free_space_is_checked_before_anything_is_written() {
    let site = Site::single(vec![7; 3 << 20]);
    let mut bench = Bench::new(&site);
    bench.order.reserve = u64::MAX / 2;
    let error = bench.import(&site.issue().bundle().bytes()).unwrap_err();
    assert!(matches!(error, IntakeError::DiskFull { wanted: 3_145_728, free: 0, .. }), "{error}");
    assert_eq!(error.code(), Code::DiskFull);
    assert!(error.to_string().contains("3145728") && error.remedy().contains("3145728"), "{error}");
    assert!(bench.staged().is_empty());
}

/// A disk of 8 MiB on which everything but a little is taken.
#[test]
fn a_disk_that_is_really_full_is_told_as_such() {
    let site = Site::single(vec![7; 12 << 20]);
    let bench = Bench::new(&site);
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
        .arg(bench.staging())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("no right to mount here: the check before writing is tested elsewhere");
        return;
    }
    let error = bench.import(&site.issue().bundle().bytes());
    let left = bench.staged();
    let _ = Command::new("umount").arg(bench.staging()).status();
    assert_eq!(error.unwrap_err().code(), Code::DiskFull);
    assert!(left.is_empty());
}

#[test]
fn a_file_replaced_while_it_is_read_is_refused() {
    let site = Site::single(vec![7; 9 << 20]);
    let bench = Bench::new(&site);
    let bytes = site.issue().bundle().bytes();
    let input = bench.input(&bytes);
    let path = bench.folder.path().join("input.casemate");
    let error = bench
        .import_input(&input, &mut |_| {
            // The same bytes again: only the times tell.
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&bytes[..512], 0).unwrap();
            file.sync_all().unwrap();
        })
        .unwrap_err();
    assert_eq!(error.code(), Code::InputChanged);
}

#[test]
fn another_file_under_the_same_name_changes_nothing() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    let input = bench.input(&site.issue().bundle().bytes());
    let path = bench.folder.path().join("input.casemate");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"something else").unwrap();
    // Unlinking changed the old file's ctime, which is caution enough; its content is still what was opened.
    match bench.import_input(&input, &mut |_| {}) {
        Ok(_) | Err(IntakeError::Changed { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn links_fifos_and_folders_are_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), b"x").unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    assert!(matches!(Input::open(&at("link")), Err(IntakeError::Input { .. })));
    assert!(matches!(Input::open(&at("fifo")), Err(IntakeError::NoFile { .. })));
    assert!(matches!(Input::open(folder.path()), Err(IntakeError::NoFile { .. })));
    assert!(matches!(Input::open(&at("absent")), Err(IntakeError::Input { .. })));
}

#[test]
fn a_pipe_serves_as_well_as_a_file() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let bytes = site.issue().bundle().bytes();
    let feeder = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    bench.import_input(&Input::pipe(file, "push").unwrap(), &mut |_| {}).unwrap();
    feeder.join().unwrap();
    assert_eq!(bench.staged().len(), 2);
}

#[test]
fn a_survey_reads_no_further_than_the_assignment() {
    let mut site = Site::sample();
    site.version = 7;
    let bench = Bench::new(&site);
    let issue = site.issue();
    let bundle = issue.bundle();
    let at = bundle.metadata("group.clinics");
    let start = Bundle { members: bundle.members[..at].to_vec() };
    let survey = bench.survey(&start.bytes()).unwrap();
    assert_eq!((survey.timestamp.get(), survey.snapshot), (7, Digest::of(&issue.snapshot)));
    assert!(bench.staged().is_empty());
    let bench = Bench { order: Order { device: device("lux-003"), ..bench.order }, folder: bench.folder };
    assert_eq!(bench.survey(&bundle.bytes()).unwrap_err().code(), Code::NotAddressed);
}

#[test]
fn a_file_spread_over_two_sticks_is_put_together() {
    let (site, bundle, content) = large_bundle();
    let bench = Bench::new(&site);
    let part = |from: usize| bundle.position(&content[from..LARGE.min(from + (64 << 20))]);
    let (first, second) = (part(0), part(64 << 20));
    let mut one = bundle.clone();
    one.members.remove(second);
    let mut two = bundle.clone();
    two.members.remove(first);
    let error = bench.import(&one.bytes()).unwrap_err();
    assert_eq!(error.code(), Code::Missing);
    let wanted: &[Wanted] = &remains(&error).wanted;
    assert_eq!(wanted.len(), 1);
    let launcher = Launcher::program(Path::new(CHILD));
    let found =
        launcher.harvest(&bench.input(&two.bytes()), &bench.order, wanted, &bench.staging(), &mut |_| {}).unwrap();
    assert_eq!(found, 1);
    bench.import(&one.bytes()).unwrap();
    assert_eq!(bench.staged().len(), 1);
}

#[test]
fn a_stick_that_is_no_bundle_harvests_nothing() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    let launcher = Launcher::program(Path::new(CHILD));
    let input = bench.input(b"no archive at all");
    let error = launcher.harvest(&input, &bench.order, &[], &bench.staging(), &mut |_| {}).unwrap_err();
    assert_eq!(error.code(), Code::ArchiveTruncated);
}

#[test]
fn the_roots_of_a_refused_bundle_are_handed_up() {
    let mut site = Site::sample();
    site.root = 3;
    let mut bench = Bench::new(&site);
    bench.order.clock.wall = bench.order.clock.wall.plus_days(91);
    let error = bench.import(&site.issue().bundle().bytes()).unwrap_err();
    assert_eq!(error.code(), Code::MetadataExpired);
    assert_eq!(remains(&error).roots.len(), 2);
}

#[test]
fn a_child_that_dies_or_says_nothing_costs_one_child() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    for program in ["/bin/true", "/bin/false", "/bin/cat"] {
        let input = bench.input(&site.issue().bundle().bytes());
        let launcher = Launcher::program(Path::new(program));
        let error = launcher.import(&input, &bench.order, &bench.staging(), &|_| None, &mut |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::IntakeFailed, "{program}: {error}");
    }
}

#[test]
fn the_parent_does_not_believe_a_child_about_small_objects() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    let bytes = site.issue().bundle().bytes();
    bench.import(&bytes).unwrap();
    let names: Vec<_> = bench.staged().into_iter().collect();
    let launcher = Launcher::program(Path::new(CHILD));
    let asked = RefCell::new(0);
    let holds = |_: &Digest| {
        *asked.borrow_mut() += 1;
        if *asked.borrow() == names.len() + 1 {
            // The first question of the parent itself: the child has ended.
            for name in &names {
                // Of the same length: only a hash can tell.
                let path = bench.staging().join(name);
                let spoilt: Vec<u8> = std::fs::read(&path).unwrap().iter().map(|byte| byte ^ 1).collect();
                std::fs::write(&path, spoilt).unwrap();
            }
        }
        None
    };
    let error = launcher.import(&bench.input(&bytes), &bench.order, &bench.staging(), &holds, &mut |_| {}).unwrap_err();
    assert_eq!(error.code(), Code::Missing);
}

#[test]
fn the_cage_holds_every_thread_and_lets_none_open_a_socket() {
    for what in ["tcp", "udp", "unix", "execute", "thread"] {
        let free = Command::new(CHILD).args(["probe", what]).status().unwrap();
        assert!(free.success(), "{what} works outside");
        let caged = Command::new(CHILD).args(["probe", what, "confined"]).status().unwrap();
        assert!(!caged.success(), "{what} inside");
    }
    assert!(Command::new(CHILD).args(["probe", "nothing", "confined"]).status().unwrap().success());
}

#[test]
fn the_cage_leaves_no_file_but_those_in_the_staging_folder() {
    for what in [
        "read-beside",
        "write-beside",
        "overwrite-beside",
        "rename-beside",
        "remove-beside",
        "read-memory",
        "write-inside",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let staging = folder.path().join("staging");
        std::fs::create_dir(&staging).unwrap();
        std::fs::write(folder.path().join("secret"), b"key").unwrap();
        let probe = |arguments: &[&str]| {
            Command::new(CHILD).current_dir(&staging).arg("probe").args(arguments).status().unwrap().success()
        };
        assert_eq!(probe(&[what, "confined"]), what == "write-inside", "{what} inside");
        assert_eq!(std::fs::read(folder.path().join("secret")).unwrap(), b"key");
        assert!(probe(&[what]), "{what} works outside");
    }
}

#[test]
fn what_an_earlier_child_left_of_a_large_object_is_hashed_again() {
    let (site, bundle, content) = large_bundle();
    let bench = Bench::new(&site);
    let bytes = bundle.bytes();
    let verdict = bench.import(&bytes).unwrap();
    let object = verdict.addressee.owners[0].outcome.as_ref().unwrap().objects[0].object.to_string();
    let (whole, partial) = (bench.staging().join(&object), bench.staging().join(format!("{object}.partial")));
    let spoil = |path: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"spoilt", 1 << 20).unwrap();
    };
    spoil(&whole);
    bench.import(&bytes).unwrap();
    assert!(std::fs::read(&whole).unwrap() == content, "whole, but not what it is called");
    std::fs::rename(&whole, &partial).unwrap();
    spoil(&partial);
    std::fs::write(bench.staging().join(format!("{object}.parts")), [1, 0]).unwrap();
    bench.import(&bytes).unwrap();
    assert!(std::fs::read(&whole).unwrap() == content, "a part said to be verified");
}

#[test]
fn a_child_that_was_taken_over_cannot_have_an_outcome_signed() {
    let site = Site::sample();
    let bench = Bench::new(&site);
    for code in ["applied", "already-applied", "disk-full"] {
        let ending = format!("{{\"refused\":{{\"code\":\"{code}\",\"text\":\"\",\"input\":null}}}}");
        let program = bench.folder.path().join("child");
        // Tag and length of the frame that ends a report; then it waits until it is no longer listened to.
        let frame = format!("\\024\\{:03o}\\000\\000\\000", ending.len());
        std::fs::write(&program, format!("#!/bin/sh\nprintf '{frame}{ending}'\ncat <&1 >/dev/null\n")).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let launcher = Launcher::program(&program);
        let error =
            launcher.import(&bench.input(b"x"), &bench.order, &bench.staging(), &|_| None, &mut |_| {}).unwrap_err();
        assert_eq!((error.code(), error.to_string().contains(code)), (Code::IntakeFailed, true), "{error}");
    }
}

/// What the parent says of a child with `fault`, and how patient it is.
fn with_fault(fault: &str, patience: Duration) -> IntakeError {
    let site = Site::sample();
    let bench = Bench::new(&site);
    std::fs::write(bench.folder.path().join("fault"), fault).unwrap();
    let launcher = Launcher::program(Path::new(CHILD)).with_patience(patience);
    let input = bench.input(&site.issue().bundle().bytes());
    launcher.import(&input, &bench.order, &bench.staging(), &|_| None, &mut |_| {}).unwrap_err()
}

#[test]
fn a_child_that_says_nothing_or_never_finishes_a_word_is_killed() {
    for fault in ["silent", "trickles"] {
        let error = with_fault(fault, Duration::from_millis(200));
        assert_eq!(error.code(), Code::IntakeFailed, "{fault}");
        assert!(error.to_string().contains("nothing for too long"), "{fault}: {error}");
    }
}

#[test]
fn a_child_that_stays_after_its_last_word_is_not_waited_for() {
    // It read nothing, so there is nothing to believe.
    assert_ne!(with_fault("stays", Duration::from_secs(600)).code(), Code::Applied);
}

#[test]
fn a_child_that_asks_or_tells_without_end_is_killed() {
    for fault in ["asks", "tells"] {
        let error = with_fault(fault, Duration::from_secs(600));
        assert_eq!(error.code(), Code::IntakeFailed, "{fault}");
        assert!(error.to_string().contains("more than there is to say"), "{fault}: {error}");
    }
}

#[test]
fn a_child_that_says_done_is_not_believed_if_what_it_handed_up_is_refused() {
    let error = with_fault("embellishes", Duration::from_secs(600));
    assert_eq!(error.code(), Code::MemberUnexpected, "{error}");
}
