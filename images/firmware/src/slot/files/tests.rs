use std::sync::Mutex;

use super::*;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        for (name, content) in [("a", "runs"), ("cmdline", "quiet casemate.slot=a\n"), ("new", "new firmware")] {
            std::fs::write(bench.path(name), content).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn writer(&self, limit: Duration) -> Files {
        let slots = ["a", "b"].map(|name| (SlotName::new(name), self.path(name)));
        Files::new(slots.into(), self.path("pointer"), self.path("cmdline"), limit)
    }

    fn write(&self, progress: &Progress) -> Result<SlotName, SlotError> {
        self.writer(Duration::from_secs(60)).write(&self.path("new"), progress)
    }
}

fn unheard() -> Progress {
    Arc::new(|_| {})
}

#[test]
fn the_slot_that_does_not_run_is_written_and_then_marked() {
    let bench = Bench::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let written = bench.write(&(Arc::new(move |percent| noted.lock().unwrap().push(percent)) as Progress)).unwrap();
    assert_eq!(written, SlotName::new("b"));
    assert_eq!(
        (bench.text("a"), bench.text("b"), bench.text("pointer")),
        ("runs".into(), "new firmware".into(), "b\n".into())
    );
    assert_eq!(*seen.lock().unwrap(), [50_u8, 100]);
    let slots = bench.writer(Duration::from_secs(60)).inspect().unwrap();
    assert_eq!((slots.booted, slots.next), (SlotName::new("a"), SlotName::new("b")));
}

#[test]
fn a_slot_that_gives_back_something_else_is_not_marked() {
    let bench = Bench::new();
    let slot = bench.path("b");
    // At fifty percent everything is written and nothing read back.
    let rot: Progress = Arc::new(move |percent| {
        if percent == 50 {
            std::fs::write(&slot, "new fIrmware").unwrap();
        }
    });
    let error = bench.write(&rot).unwrap_err();
    assert!(matches!(error, SlotError::ReadBack { .. }), "{error}");
    assert_eq!(bench.text("pointer"), "");
}

#[test]
fn a_shorter_artifact_leaves_nothing_of_a_longer_one_in_a_file() {
    let bench = Bench::new();
    std::fs::write(bench.path("b"), "something much longer than the new firmware").unwrap();
    bench.write(&unheard()).unwrap();
    assert_eq!(bench.text("b"), "new firmware");
}

#[test]
fn what_boots_next_is_unmarked_before_it_is_written_again() {
    let bench = Bench::new();
    bench.write(&unheard()).unwrap();
    std::fs::write(bench.path("new"), "newer firmware").unwrap();
    let pointer = bench.path("pointer");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let look: Progress = Arc::new(move |_| noted.lock().unwrap().push(std::fs::read_to_string(&pointer).unwrap()));
    bench.write(&look).unwrap();
    assert_eq!(*seen.lock().unwrap(), ["a\n", "a\n"]);
    assert_eq!(bench.text("pointer"), "b\n");
}

#[test]
fn without_knowing_what_runs_neither_slot_is_written() {
    for cmdline in ["quiet ro", "casemate.slot=c", "casemate.slot="] {
        let bench = Bench::new();
        std::fs::write(bench.path("cmdline"), cmdline).unwrap();
        let error = bench.write(&unheard()).unwrap_err();
        assert_eq!(error.reason(), crate::reason::Reason::BootSlotUnknown, "{cmdline}");
        assert_eq!((bench.text("a"), bench.text("b")), ("runs".into(), String::new()));
    }
}

#[test]
fn an_installation_that_takes_too_long_is_given_up_and_not_marked() {
    let bench = Bench::new();
    let error = bench.writer(Duration::ZERO).write(&bench.path("new"), &unheard()).unwrap_err();
    assert!(matches!(error, SlotError::TimedOut(_)), "{error}");
    assert_eq!(bench.text("pointer"), "");
}

#[test]
fn a_pointer_nobody_knows_is_told_and_not_followed() {
    let bench = Bench::new();
    std::fs::write(bench.path("pointer"), "c\n").unwrap();
    let error = bench.write(&unheard()).unwrap_err();
    assert!(error.to_string().contains("\"c\""), "{error}");
}
