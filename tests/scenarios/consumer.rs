//! Consumers of the real daemon: a real nginx by the helper, and the two examples of `docs/consumer.md`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use casemate_agent::local_api::answer::{OwnerFailure, OwnerState, OwnerStatus, StatusReport};
use casemate_protocol::bundle::manifest::{Apply, Consumer, OnChange};
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_tests::appliance::Appliance;
use casemate_tests::repository::Site;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::{Daemon, failed};
use crate::first_bundle::enrolled;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
/// What every wait here may take at most; each is for an event.
const PATIENCE: Duration = Duration::from_secs(60);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Waits until `look` sees something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: never");
        std::thread::yield_now();
    }
}

/// A process that is ended when dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // In order, so that nginx takes its workers with it.
        let _ended = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _reaped = self.0.wait();
    }
}

/// An enrolled appliance whose daemon serves the consumer socket, and the site that sends it bundles.
struct Served {
    daemon: RefCell<Daemon>,
    appliance: Appliance,
    site: Site,
}

impl Served {
    /// With group `clinics` declaring `consumers`, whose files are those in the folder of their name.
    fn new(consumers: BTreeMap<Name, Consumer>) -> Self {
        let (appliance, mut site) = enrolled();
        let mut config = std::fs::OpenOptions::new().append(true).open(appliance.path("agent.toml")).unwrap();
        writeln!(config, "[local.consumer]\nsocket = {:?}", appliance.path("consumer.sock")).unwrap();
        let clinics = site.owner("group.clinics");
        clinics.files.clear();
        clinics.consumers = consumers;
        let (deadline, hold) = (Some("6s".into()), Some("1s".into()));
        clinics.apply = Apply { confirm: vec!["consumers".into()], deadline, hold, ..Apply::default() };
        clinics.edit = |manifest| {
            for file in &mut manifest.files {
                let folder: Option<Name> = file.path.components().next().and_then(|folder| folder.parse().ok());
                file.consumer = folder.filter(|folder| manifest.consumers.contains_key(folder));
            }
        };
        // The first version stands for what was there before.
        clinics.version = 0;
        let daemon = RefCell::new(Daemon::start(&appliance));
        Self { daemon, appliance, site }
    }

    /// Imports the next version, in which `path` says `content`.
    fn send(&mut self, path: &str, content: &str) {
        self.site.reissue("group.clinics", path, content.as_bytes());
        let bundle = self.appliance.path("next.casemate");
        std::fs::write(&bundle, self.site.issue().bundle().bytes()).unwrap();
        let imported =
            self.appliance.command(&["import", "--no-wait", "--json", bundle.to_str().unwrap()]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&imported.stdout).unwrap();
        assert_eq!(report["code"], "probation", "{report}");
    }

    fn owner(&self) -> OwnerStatus {
        let status = until("an answer", || {
            // It ends for a new process when a probe asks for a port it was not started for.
            self.daemon.borrow_mut().renew(&self.appliance);
            let said = self.appliance.command(&["status", "--json"]).output().unwrap();
            serde_json::from_slice::<StatusReport>(&said.stdout).ok()
        });
        status.owners[0].clone()
    }

    /// Waits for the end of the trial: the generation that is current, and why the one on trial is not.
    fn settled(&self) -> (Option<u64>, Option<OwnerFailure>) {
        until("the end of the trial", || {
            let owner = self.owner();
            let over = matches!(owner.state, OwnerState::Committed | OwnerState::Idle);
            over.then(|| (owner.current.map(|current| current.number), owner.failure))
        })
    }
}

/// nginx on loopback, run by the test, and the helper that reconfigures it.
struct Web {
    served: Served,
    /// The folder both stand in.
    folder: PathBuf,
    port: u16,
    _nginx: Running,
    helper: Option<Running>,
}

impl Web {
    fn new() -> Self {
        // The kernel chooses; nginx takes it when the first bundle says so.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let ready = Some(format!("http://127.0.0.1:{port}/health"));
        let nginx = Consumer { unit: Some("nginx.service".into()), on_change: OnChange::Reload, ready };
        let served = Served::new(BTreeMap::from([(name("nginx"), nginx)]));
        let folder = served.appliance.path("web");
        for part in ["conf.d", "consumers.d", "temp"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        let main = include_str!("consumer/nginx.conf").replace("FOLDER", folder.to_str().unwrap());
        std::fs::write(folder.join("nginx.conf"), main).unwrap();
        symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/consumer/systemctl"), folder.join("systemctl"))
            .unwrap();
        // The rule the page shows, for this nginx.
        let rule = std::fs::read_to_string(format!("{DOCS}/consumer/nginx.toml")).unwrap();
        let config = format!("\"-c\", {:?}, \"-t\"", folder.join("nginx.conf"));
        let rule = rule.replace("/etc/nginx", folder.to_str().unwrap()).replace("\"-t\"", &config);
        let path = folder.join("consumers.d/nginx.toml");
        std::fs::write(&path, rule).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        let nginx = Running::start(command.arg("-c").arg(folder.join("nginx.conf")).args(["-g", "daemon off;"]));
        until("nginx", || std::fs::read_to_string(folder.join("pid")).ok().filter(|pid| pid.ends_with('\n')));
        let mut web = Self { served, folder, port, _nginx: nginx, helper: None };
        web.help();
        web
    }

    /// Starts the helper.
    fn help(&mut self) {
        let place = |name: &str| self.folder.join(name);
        let mut command = Command::new(crate::AGENT);
        command.arg("consumer").arg("--socket").arg(self.served.appliance.path("consumer.sock"));
        command.arg("--consumers").arg(place("consumers.d")).arg("--memory").arg(place("units.json"));
        command.arg("--systemctl").arg(place("systemctl"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(place("helper.log")).unwrap();
        self.helper = Some(Running::start(command.stderr(log)));
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("helper.log")).unwrap()
    }

    /// Imports a page: `health` is what the readiness URL answers.
    fn send(&mut self, page: &str, health: u16) {
        let content = include_str!("consumer/site.conf").replace("PORT", &self.port.to_string());
        let content = content.replace("PAGE", page).replace("HEALTH", &health.to_string());
        self.served.send("nginx/casemate.conf", &content);
    }

    /// What nginx serves.
    fn page(&self) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/", self.port);
        let answer = Command::new("curl").args(["--silent", "--fail", "--noproxy", "*", &url]).output().unwrap();
        answer.status.success().then(|| String::from_utf8(answer.stdout).unwrap())
    }

    fn serves(&self, page: &str) {
        until(page, || self.page().filter(|found| found == page));
    }

    /// The process ids of the master and its workers: a reload makes new workers.
    fn processes(&self) -> (String, String) {
        let master = std::fs::read_to_string(self.folder.join("pid")).unwrap().trim().to_owned();
        let workers = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
        (master, workers)
    }

    fn reloads(&self) -> usize {
        std::fs::read_to_string(self.folder.join("reloads")).unwrap_or_default().lines().count()
    }
}

#[test]
fn nginx_is_reconfigured_validated_reloaded_and_rolled_back_without_code() {
    let mut web = Web::new();
    web.send("March", 200);
    assert_eq!(web.served.settled(), (Some(1), None), "{}", web.said());
    web.serves("March");
    let link = std::fs::read_link(web.folder.join("conf.d/casemate.conf")).unwrap();
    assert_eq!(link, web.served.appliance.path("state/current/groups/clinics/nginx/casemate.conf"));
    assert_eq!(web.reloads(), 1);

    // Broken syntax: nginx says so before it is touched.
    let before = web.processes();
    web.send("April\"; }", 200);
    let (current, failure) = web.served.settled();
    let failure = failure.unwrap();
    assert_eq!((current, failure.code, failure.consumer), (Some(1), Code::ConsumerFailed, Some(name("nginx"))));
    assert_eq!(failure.reason, Some(name("validate-failed")));
    assert!(web.said().contains("casemate.conf:"), "nginx names the line: {}", web.said());
    assert_eq!((web.page().as_deref(), web.processes(), web.reloads()), (Some("March"), before, 1));

    // Good syntax, and the readiness URL answers 500: nginx served it, and serves the old page again.
    web.send("May", 500);
    web.serves("May");
    let (current, failure) = web.served.settled();
    assert_eq!((current, failure.unwrap().code), (Some(1), Code::ProbeFailed));
    web.serves("March");
    assert_eq!(web.reloads(), 3);

    // Good.
    web.send("June", 200);
    assert_eq!(web.served.settled(), (Some(4), None), "{}", web.said());
    web.serves("June");
    assert_eq!(web.reloads(), 4);
    let codes: Vec<_> = {
        drop(web.served.daemon);
        web.served.appliance.receipts().iter().map(|receipt| receipt.predicate.code).collect()
    };
    assert_eq!(codes, [Code::Applied, Code::ConsumerFailed, Code::ProbeFailed, Code::Applied]);
}

#[test]
fn a_helper_that_was_killed_or_a_daemon_that_was_finds_the_rest_of_the_work() {
    let mut web = Web::new();
    web.send("March", 200);
    assert_eq!(web.served.settled().0, Some(1));
    // The event comes while nobody follows.
    web.helper.take().unwrap().0.kill().unwrap();
    web.send("April", 200);
    assert_eq!(web.served.owner().awaited, [name("nginx")]);
    web.help();
    assert_eq!(web.served.settled(), (Some(2), None), "{}", web.said());
    web.serves("April");
    // Both start anew: nothing is touched again.
    let touched = web.reloads();
    web.helper = None;
    web.help();
    web.served.daemon.borrow_mut().restart(&web.served.appliance);
    web.send("May", 200);
    assert_eq!(web.served.settled(), (Some(3), None), "{}", web.said());
    web.serves("May");
    assert_eq!(web.reloads(), touched + 1);
}

#[test]
fn a_unit_the_image_does_not_allow_is_not_touched_and_the_log_says_what_to_do() {
    let mut web = Web::new();
    std::fs::remove_file(web.folder.join("consumers.d/nginx.toml")).unwrap();
    web.send("March", 200);
    let (current, failure) = web.served.settled();
    assert_eq!((current, failure.unwrap().reason), (None, Some(name("not-allowed"))));
    assert_eq!(web.reloads(), 0);
    assert!(web.said().contains("have the image bring nginx.toml"), "{}", web.said());
    assert_eq!(std::fs::read_dir(web.folder.join("conf.d")).unwrap().count(), 0);
}

#[test]
fn the_allow_list_is_checked_on_demand() {
    let web = Web::new();
    let check = || {
        let mut command = Command::new(crate::AGENT);
        command.args(["consumer", "--check", "--consumers"]).arg(web.folder.join("consumers.d")).output().unwrap()
    };
    assert!(check().status.success());
    std::fs::write(web.folder.join("consumers.d/b.toml"), "unit = 'b.service'\nverb = ['reload']\n").unwrap();
    failed(&check(), 2, Code::ConfigInvalid);
    assert!(String::from_utf8_lossy(&check().stderr).contains("b.toml:2: "), "{:?}", check());
}

/// One of the page's examples as the consumer `board`.
fn example(file: &str) {
    let board = Consumer { unit: None, on_change: OnChange::None, ready: None };
    let mut served = Served::new(BTreeMap::from([(name("board"), board)]));
    let shown = served.appliance.path("shown");
    let out = std::fs::File::create(&shown).unwrap();
    let mut command = Command::new(Path::new(DOCS).join("consumer").join(file));
    let socket = served.appliance.path("consumer.sock");
    let _follower = Running::start(command.arg("board").arg(socket).stdout(out).stderr(Stdio::null()));
    let shows = |last: &str| {
        until(last, || std::fs::read_to_string(&shown).ok().filter(|text| text.lines().last() == Some(last)));
    };
    served.send("board.json", "{\"text\":\"open\"}");
    assert_eq!(served.settled(), (Some(1), None));
    shows("open");
    served.send("board.json", "{\"text\":");
    let (current, failure) = served.settled();
    assert_eq!((current, failure.unwrap().reason), (Some(1), Some(name("board-unreadable"))));
    served.daemon.borrow_mut().restart(&served.appliance);
    served.send("board.json", "{\"text\":\"closed\"}");
    assert_eq!(served.settled(), (Some(3), None));
    shows("closed");
}

#[test]
fn the_example_in_python_is_a_consumer() {
    example("follow.py");
}

#[test]
fn the_example_in_shell_is_a_consumer() {
    example("follow.sh");
}

#[test]
fn the_page_shows_the_examples_as_they_are() {
    let page = std::fs::read_to_string(format!("{DOCS}/consumer.md")).unwrap();
    for file in ["follow.py", "follow.sh", "nginx.toml", "web/bundle.toml"] {
        let text = std::fs::read_to_string(format!("{DOCS}/consumer/{file}")).unwrap();
        assert!(page.contains(&text), "{file}");
        assert!(!file.ends_with("py") || text.lines().count() <= 30, "{file} is told to be short");
    }
}
