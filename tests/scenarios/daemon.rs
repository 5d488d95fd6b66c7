//! The real program: as a daemon and as commands.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Output, Stdio};

use casemate_agent::local_api::answer::{ImportReport, Outcome};
use casemate_agent::local_api::call::Call;
use casemate_agent::local_api::client::Client;
use casemate_protocol::code::Code;
use casemate_tests::appliance::{Appliance, files_below};
use casemate_tests::repository::Site;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::first_bundle::enrolled;
use crate::probation::{gate, said};

/// A running daemon, killed when dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it and waits until it says that it takes calls.
    pub(crate) fn start(appliance: &Appliance) -> Self {
        Self::start_with(appliance, &[])
    }

    /// As [`Self::start`], with these variables in its environment.
    pub(crate) fn start_with(appliance: &Appliance, variables: &[(&str, &str)]) -> Self {
        let mut command = appliance.command(&["run"]);
        let mut child = command.envs(variables.iter().copied()).stderr(Stdio::piped()).spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert_ne!(talk.read_line(&mut line).unwrap(), 0, "the daemon ended before it was ready");
        }
        // Somebody has to read what it says, or it stops at a full pipe.
        std::thread::spawn(move || std::io::copy(&mut talk, &mut std::io::sink()));
        Self(child)
    }

    /// Kills it, and starts another in its place.
    pub(crate) fn restart(&mut self, appliance: &Appliance) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        *self = Self::start(appliance);
    }

    /// Starts another in its place if it has ended because what is in force takes a new process, as its unit would.
    pub(crate) fn renew(&mut self, appliance: &Appliance) {
        if let Some(status) = self.0.try_wait().unwrap() {
            assert_eq!(status.code(), Some(i32::from(casemate_agent::exit::RESTART)));
            *self = Self::start(appliance);
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.0.wait().unwrap()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn stop(mut self, signal: Signal) -> std::process::ExitStatus {
        self.signal(signal);
        self.0.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn run(appliance: &Appliance, arguments: &[&str]) -> Output {
    appliance.command(arguments).output().unwrap()
}

pub(crate) fn failed(output: &Output, exit: i32, code: Code) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{text}");
    assert!(text.contains(&format!("({code})")) && text.contains("to do: "), "{text}");
}

fn report(output: &Output) -> ImportReport {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// An enrolled appliance with its first bundle on the stick, its folder open to other users of the machine.
fn carrying() -> (Appliance, Site) {
    let (appliance, site) = enrolled();
    std::fs::set_permissions(appliance.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Beside the stick the daemon watches: what is imported when is said by the test alone.
    std::fs::write(appliance.path("first.casemate"), site.issue().bundle().bytes()).unwrap();
    (appliance, site)
}

fn import(appliance: &Appliance) -> Output {
    run(appliance, &["import", "--json", appliance.path("first.casemate").to_str().unwrap()])
}

#[test]
fn an_import_through_the_daemon_equals_one_without() {
    let (alone, _) = carrying();
    let (served, _) = carrying();
    let daemon = Daemon::start(&served);
    let (mut left, mut right) = (report(&import(&alone)), report(&import(&served)));
    let file = std::path::PathBuf::new();
    (left.bundles[0].file, right.bundles[0].file) = (file.clone(), file);
    assert_eq!((&left, left.code), (&right, Code::Applied));
    assert!(daemon.stop(Signal::SIGTERM).success());
    let tree = |appliance: &Appliance| {
        let root = appliance.path("state/generations");
        let files = files_below(&root).into_iter();
        files.map(|(path, content)| (path.strip_prefix(&root).unwrap().to_owned(), content)).collect::<Vec<_>>()
    };
    assert_eq!(tree(&alone), tree(&served));
}

#[test]
fn sigterm_is_a_clean_stop_and_the_socket_goes() {
    let (appliance, _) = carrying();
    let daemon = Daemon::start(&appliance);
    assert!(appliance.path("socket").exists());
    let mode = std::fs::metadata(appliance.path("socket")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(import(&appliance).status.success());
    assert!(daemon.stop(Signal::SIGTERM).success());
    assert!(!appliance.path("socket").exists());
    let config = appliance.config();
    let (store, recovery) = casemate_agent::store::Store::open(&config.state, &Default::default()).unwrap();
    assert_eq!(recovery, casemate_agent::store::Recovery::Clean);
    drop(store);
}

#[test]
fn a_second_owner_of_the_state_is_told_that_it_is_busy() {
    let (appliance, _) = carrying();
    let daemon = Daemon::start(&appliance);
    failed(&run(&appliance, &["run"]), 3, Code::StateBusy);
    // A command whose socket is elsewhere cannot reach the daemon and must not get past it.
    let text = std::fs::read_to_string(appliance.path("agent.toml")).unwrap();
    std::fs::write(appliance.path("agent.toml"), text.replace("/socket\"", "/elsewhere\"")).unwrap();
    failed(&run(&appliance, &["status"]), 3, Code::StateBusy);
    assert!(daemon.stop(Signal::SIGTERM).success());
}

#[test]
fn another_user_is_refused_and_leaves_nothing_behind() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can become somebody else; the rule itself is a unit test of the store.
        return;
    }
    let (appliance, _) = carrying();
    let before = files_below(&appliance.path("state"));
    let output = appliance.command(&["status"]).uid(65_534).gid(65_534).output().unwrap();
    failed(&output, 3, Code::WrongUser);
    assert_eq!(files_below(&appliance.path("state")), before);

    let daemon = Daemon::start(&appliance);
    let output = appliance.command(&["status"]).uid(65_534).gid(65_534).output().unwrap();
    failed(&output, 3, Code::WrongUser);
    assert!(daemon.stop(Signal::SIGINT).success());
}

#[test]
fn the_daemon_imports_a_stick_by_itself_and_writes_receipts_onto_it() {
    let (appliance, site) = enrolled();
    let daemon = Daemon::start(&appliance);
    appliance.carry(&[("first.casemate", &site.issue().bundle().bytes())]);
    // An event, not a time: the receipt appears when everything before it is done.
    let out = appliance.path("stick/out");
    let started = std::time::Instant::now();
    let written = |path: &std::path::Path| {
        path.extension().is_some_and(|end| end == "json") && path.to_string_lossy().contains("-receipt-")
    };
    while !out.exists() || !files_below(&out).iter().any(|(path, _)| written(path)) {
        assert!(started.elapsed().as_secs() < 60, "no receipt appeared");
        std::thread::yield_now();
    }
    assert!(daemon.stop(Signal::SIGTERM).success());
    assert_eq!(appliance.status().timestamp_version, Some(1));
}

/// Asks the daemon.
fn ask(appliance: &Appliance, call: &Call) -> serde_json::Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Client::connect(&appliance.path("socket")).await.unwrap().call(call).await }).unwrap()
}

/// Waits for what is looked for, a minute at most.
fn until(what: &str, holds: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed().as_secs() < 60, "{what} did not happen");
        std::thread::yield_now();
    }
}

#[test]
fn a_stick_whose_bundle_is_on_trial_gets_its_receipt_later_and_holds_up_no_other() {
    let (appliance, mut site) = enrolled();
    let daemon = Daemon::start(&appliance);
    gate(&mut site);
    let receipts = || {
        let out = appliance.path("stick/out");
        let files = if out.exists() { files_below(&out) } else { Vec::new() };
        files.iter().filter(|(path, _)| path.to_string_lossy().contains("-receipt-")).count()
    };
    let state = || ask(&appliance, &Call::Status)["owners"][0]["state"].clone();
    appliance.carry(&[("march.casemate", &site.issue().bundle().bytes())]);
    until("the trial", || state() == "probation");
    assert_eq!(receipts(), 0);
    ask(&appliance, &said(1, Outcome::Ready));
    until("the receipt on the stick", || receipts() == 1);

    // Nobody reports on April; May is imported all the same.
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"april\n");
    appliance.carry(&[("april.casemate", &site.issue().bundle().bytes())]);
    until("the second trial", || state() == "probation");
    site.owner("group.clinics").apply = Default::default();
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"may\n");
    appliance.carry(&[("may.casemate", &site.issue().bundle().bytes())]);
    until("the other two receipts", || receipts() == 3);
    assert_eq!(appliance.current("groups/clinics/synapse/homeserver.yaml").unwrap(), b"may\n");
    assert!(daemon.stop(Signal::SIGTERM).success());
}

#[test]
fn a_command_without_a_daemon_waits_for_the_outcome_and_lets_consumers_report() {
    let (appliance, mut site) = enrolled();
    gate(&mut site);
    let path = appliance.path("march.casemate");
    std::fs::write(&path, site.issue().bundle().bytes()).unwrap();
    let mut command = appliance.command(&["import", path.to_str().unwrap()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the socket", || appliance.path("socket").exists());
    ask(&appliance, &said(1, Outcome::Ready));
    let output = child.wait_with_output().unwrap();
    let (said, talk) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && said.starts_with("march.casemate: applied\n"), "{said}{talk}");
    assert!(!appliance.path("socket").exists());
    let diff = run(&appliance, &["diff", "group.clinics"]);
    assert!(String::from_utf8(diff.stdout).unwrap().contains("added    synapse/homeserver.yaml  (synapse)"));
}

#[test]
fn a_daemon_killed_at_any_moment_of_an_import_leaves_the_old_or_the_new_state_whole() {
    for progress in 0..12 {
        let (appliance, _) = carrying();
        let mut daemon = Daemon::start(&appliance);
        let path = appliance.path("first.casemate");
        let mut command = appliance.command(&["import", path.to_str().unwrap()]);
        let mut client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moment moves with the round: as many looks at the journal's folder as it says.
        for _ in 0..progress * 400 {
            let _looked = std::fs::metadata(appliance.path("state/current"));
        }
        daemon.0.kill().unwrap();
        daemon.0.wait().unwrap();
        client.wait().unwrap();
        let current = appliance.current("groups/clinics/synapse/homeserver.yaml");
        let status = appliance.status();
        assert_eq!(status.damage, None);
        let whole = appliance.current("groups/clinics/synapse/homeserver.yaml");
        assert!(current.is_none() || current == whole, "round {progress}");
        assert_eq!(whole.is_some(), status.owners.len() == 1, "round {progress}");
        // Whatever was left, the same bundle leads to the same end, with one receipt for it.
        assert!(import(&appliance).status.success(), "round {progress}");
        assert!(appliance.current("groups/clinics/synapse/homeserver.yaml").is_some());
        assert_eq!(appliance.receipts().len(), 1, "round {progress}");
    }
}

#[test]
fn sigterm_in_the_middle_of_an_import_stops_at_once_and_the_import_can_be_done_again() {
    let (appliance, mut site) = (Appliance::new(crate::AGENT), Site::single(vec![7; 96 << 20]));
    appliance.enrol(&mut site, "lux-001");
    let bundle = appliance.path("large.casemate");
    std::fs::write(&bundle, site.issue().bundle().bytes()).unwrap();
    let daemon = Daemon::start(&appliance);
    let mut command = appliance.command(&["import", bundle.to_str().unwrap()]);
    let mut client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The event waited for: the first byte of content is staged.
    let staging = appliance.path("state/staging");
    let is_empty = || std::fs::read_dir(&staging).unwrap().next().is_none();
    while is_empty() && client.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    assert!(daemon.stop(Signal::SIGTERM).success());
    let answered = client.wait().unwrap();
    let status = appliance.status();
    assert_eq!((status.damage.clone(), status.owners.len() == 1), (None, answered.success()));
    assert!(run(&appliance, &["import", bundle.to_str().unwrap()]).status.success());
    assert_eq!(appliance.current("groups/clinics/data/file").unwrap().len(), 96 << 20);
    assert_eq!(appliance.receipts().len(), 1);
}

#[test]
fn commands_speak_for_people_and_for_programs() {
    let (appliance, _) = carrying();
    let output = import(&appliance);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    for verb in [["status", "--json"], ["health", "--json"]] {
        let output = run(&appliance, &verb);
        assert!(output.status.success());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    }
    let text = run(&appliance, &["status"]).stdout;
    assert!(String::from_utf8(text).unwrap().contains("group.clinics: generation 1"));
    let home = appliance.path("home");
    let export = run(&appliance, &["receipts", "export", "-o", home.to_str().unwrap()]);
    assert!(export.status.success());
    assert_eq!(files_below(&home).len(), 1);
    assert_eq!(appliance.status().receipts_waiting, 0);

    let wrong = run(&appliance, &["--json", "import", "/nonexistent"]);
    failed(&wrong, 3, Code::InputUnreadable);
    let error = &serde_json::from_slice::<serde_json::Value>(&wrong.stdout).unwrap()["error"];
    assert!(error["code"] == "input-unreadable" && error["why"].is_array() && error["remedy"].is_string(), "{error}");
    failed(&run(&appliance, &["enrol", "accept", "/nonexistent"]), 3, Code::InputUnreadable);
    failed(&run(&appliance, &["frobnicate"]), 2, Code::UsageInvalid);
    std::fs::write(appliance.path("agent.toml"), "stat = '/x'\n").unwrap();
    failed(&run(&appliance, &["status"]), 2, Code::ConfigInvalid);
}

#[test]
fn a_question_before_enrolment_makes_no_state() {
    let appliance = Appliance::new(crate::AGENT);
    std::fs::remove_dir_all(appliance.path("state")).ok();
    for question in [&["status"][..], &["health"], &["receipts", "list"], &["import", "."]] {
        failed(&run(&appliance, question), 1, Code::NotEnrolled);
        assert!(!appliance.path("state").exists(), "{question:?}: who asks first would own the folder");
    }
}

#[test]
fn a_grant_is_not_accepted_without_its_words() {
    let (appliance, site) = (Appliance::new(crate::AGENT), Site::sample());
    let grant = appliance.path("lux-001.grant");
    std::fs::write(&grant, appliance.grant(&site, "lux-001")).unwrap();
    let grant = grant.to_str().unwrap();
    let output = appliance.command(&["enrol", "accept", grant]).stdin(Stdio::null()).output().unwrap();
    failed(&output, 1, Code::WordsDiffer);
    failed(&run(&appliance, &["enrol", "accept", grant, "--words", "lusab-babad"]), 1, Code::WordsDiffer);
    let words = appliance.offer(&std::fs::read(grant).unwrap()).unwrap().words.join(" ");
    assert!(run(&appliance, &["enrol", "accept", grant, "--words", &words]).status.success());
}

#[test]
fn no_personal_data_travels_in_receipts_or_health() {
    let (appliance, mut site) = enrolled();
    // Canaries where people's names end up: file names on the stick, paths and contents of a generation.
    site.reissue("group.clinics", "home/anna-canary.conf", b"user = anna-canary\n");
    let bytes = site.issue().bundle().bytes();
    assert_eq!(appliance.import(&[("anna-canary.casemate", &bytes)]).code, Code::Applied);
    let torn = &bytes[..bytes.len() / 2];
    assert_ne!(appliance.import(&[("anna-canary-torn.casemate", torn)]).code, Code::Applied);
    let host = nix::unistd::gethostname().unwrap().to_string_lossy().into_owned();
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let mut said: Vec<_> =
        appliance.receipts().iter().map(|statement| serde_json::to_value(statement).unwrap()).collect();
    assert_eq!(said.len(), 2);
    said.push(serde_json::to_value(appliance.health()).unwrap());
    // The schema's own words are no data: only values are looked at.
    let said: Vec<String> = said.iter().flat_map(texts).collect();
    assert!(said.iter().any(|text| text == "lux-001"));
    let folder = appliance.path("").to_string_lossy().into_owned();
    for canary in ["anna-canary", host.as_str(), user.as_str(), folder.trim_end_matches('/')] {
        let bytes = canary.as_bytes();
        let digest = casemate_protocol::digest::Digest::of(bytes).to_string();
        let hexadecimal = casemate_protocol::encoding::to_hex(bytes);
        // Without the last group, whose letters depend on what follows.
        let base64 = casemate_protocol::encoding::to_base64(&bytes[..bytes.len() - bytes.len() % 3]);
        for text in &said {
            let spellings = [canary, &digest, &hexadecimal, &base64];
            let found = spellings.iter().any(|spelling| spelling.len() > 3 && text.contains(*spelling));
            assert!(!found, "{canary} in {text}");
        }
    }
}

/// Every text that is a value of `document`.
fn texts(document: &serde_json::Value) -> Vec<String> {
    match document {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(items) => items.iter().flat_map(texts).collect(),
        serde_json::Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
