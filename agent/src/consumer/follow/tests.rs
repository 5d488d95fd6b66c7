use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use casemate_protocol::bundle::manifest::{Consumer, OnChange};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::GenerationRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::*;
use crate::local_api::answer::{OwnerState, OwnerTree, TreeFile, TreeReport};

/// What the stand-in for the agent says and hears.
struct Agent {
    tree: TreeReport,
    /// Whose `current` is being moved.
    moving: Vec<Owner>,
    reports: Vec<(String, ConsumerReport)>,
}

/// An agent of the same contract, a `systemctl`, a validate command and the places links lead to and from.
struct Bench {
    folder: tempfile::TempDir,
    agent: Arc<Mutex<Agent>>,
    /// Counts events; followers are cut off when it jumps by more than one.
    events: watch::Sender<u64>,
}

const RULE: &str = "unit = 'nginx.service'\nverbs = ['reload']\nvalidate = ['/bin/sh', '-c', 'echo validate >> FOLDER/said; ! test -e FOLDER/invalid']\n\
                    [[link]]\nfrom = 'nginx/site.conf'\nto = 'FOLDER/conf.d/casemate.conf'\n";

impl Bench {
    /// With `RULE` for consumer `nginx`. Has to be made on an event loop.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let agent = Arc::new(Mutex::new(Agent {
            tree: TreeReport { sequence: 1, owners: vec![] },
            moving: vec![],
            reports: vec![],
        }));
        let bench = Self { folder, agent, events: watch::Sender::new(0) };
        for name in ["consumers.d", "conf.d", "state/current"] {
            std::fs::create_dir_all(bench.path(name)).unwrap();
        }
        bench.rule("nginx", RULE);
        // Never a program that was just written: another test's fork may still hold it open.
        let systemctl = concat!(env!("CARGO_MANIFEST_DIR"), "/src/consumer/follow/systemctl");
        std::os::unix::fs::symlink(systemctl, bench.path("systemctl")).unwrap();
        bench.serve();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn rule(&self, consumer: &str, text: &str) {
        let text = text.replace("FOLDER", self.folder.path().to_str().unwrap());
        let path = self.path("consumers.d").join(format!("{consumer}.toml"));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// What `validate` and `systemctl` were asked since the last look.
    fn said(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("said")).unwrap_or_default();
        let _first = std::fs::remove_file(self.path("said"));
        text.lines().map(str::to_owned).collect()
    }

    fn link(&self) -> Option<PathBuf> {
        std::fs::read_link(self.path("conf.d/casemate.conf")).ok()
    }

    fn target(&self, owner: &str) -> PathBuf {
        self.path("state/current").join(owner).join("nginx/site.conf")
    }

    fn options(&self) -> Options {
        Options {
            socket: self.path("socket"),
            consumers: self.path("consumers.d"),
            memory: self.path("units.json"),
            systemctl: self.path("systemctl"),
        }
    }

    fn follower(&self) -> Follower {
        let mut follower = Follower::new(self.options());
        follower.hands.server = nix::unistd::geteuid().as_raw();
        follower
    }

    /// Generation `number` of `owner` with nginx's file of this content, declared with `change`.
    fn owner(&self, id: &str, state: OwnerState, number: u64, content: &str) -> OwnerTree {
        let owner: Owner = id.parse().unwrap();
        let (digest, nginx) = (Digest::of(content.as_bytes()), "nginx".parse::<Name>().unwrap());
        let file = |path: &str, digest, consumer| TreeFile {
            path: path.parse().unwrap(),
            length: 1,
            object: digest,
            consumer,
        };
        let unit = Some("nginx.service".into());
        OwnerTree {
            path: self.path("state/current").join(owner.tree()),
            id: owner,
            state,
            generation: GenerationRef { number, version: number, manifest: Digest::of(&number.to_le_bytes()) },
            files: vec![
                file("nginx/site.conf", digest, Some(nginx.clone())),
                file("other/file", Digest::of(&number.to_le_bytes()), None),
            ],
            consumers: BTreeMap::from([(nginx, Consumer { unit, on_change: OnChange::Reload, ready: None })]),
        }
    }

    fn clinics(&self, state: OwnerState, number: u64, content: &str) -> OwnerTree {
        self.owner("group.clinics", state, number, content)
    }

    fn set(&self, owners: Vec<OwnerTree>) {
        self.agent.lock().unwrap().tree.owners = owners;
    }

    /// Outcomes reported since the last look: `nginx 1 ready`, `nginx 2 failed validate-failed`.
    fn reports(&self) -> Vec<String> {
        let reports = std::mem::take(&mut self.agent.lock().unwrap().reports);
        let text = |(name, report): (String, ConsumerReport)| {
            let reason = report.reason.map_or_else(String::new, |reason| format!(" {reason}"));
            let outcome = if report.outcome == Outcome::Ready { "ready" } else { "failed" };
            format!("{name} {} {outcome}{reason}", report.generation)
        };
        reports.into_iter().map(text).collect()
    }

    fn serve(&self) {
        let listener = UnixListener::bind(self.path("socket")).unwrap();
        let (agent, events) = (Arc::clone(&self.agent), self.events.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&agent), events.subscribe()));
            }
        });
    }
}

async fn answer(mut stream: UnixStream, agent: Arc<Mutex<Agent>>, mut events: watch::Receiver<u64>) {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    let body = loop {
        let length = stream.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
                break body.to_owned();
            }
        }
        assert_ne!(length, 0, "the request broke off");
    };
    let line = text.lines().next().unwrap().to_owned();
    if line == "GET /v1/events HTTP/1.1" {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut seen = *events.borrow_and_update();
        while events.changed().await.is_ok() {
            let now = *events.borrow_and_update();
            if now > seen + 1 {
                return;
            }
            seen = now;
            // In two chunks, as a busy socket may cut it.
            let event = format!(": beat\n\nevent: generation\nid: {now}\ndata: {{\"sequence\":{now}}}\n\n");
            for half in [&event[..20], &event[20..]] {
                stream.write_all(format!("{:x}\r\n{half}\r\n", half.len()).as_bytes()).await.unwrap();
            }
        }
        return;
    }
    let (status, text) = if line == "GET /v1/tree HTTP/1.1" {
        (200, serde_json::to_string(&agent.lock().unwrap().tree).unwrap())
    } else if line == "GET /v1/status HTTP/1.1" {
        (200, status(&agent.lock().unwrap().moving))
    } else {
        let name = line.strip_prefix("POST /v1/consumers/").unwrap().strip_suffix("/reports HTTP/1.1").unwrap();
        agent.lock().unwrap().reports.push((name.into(), serde_json::from_str(&body).unwrap()));
        (200, "{\"state\":\"probation\"}".into())
    };
    let head = format!("HTTP/1.1 {status} OK\r\ncontent-length: {}\r\n\r\n", text.len());
    stream.write_all((head + &text).as_bytes()).await.unwrap();
}

fn status(moving: &[Owner]) -> String {
    let owner = |owner: &Owner| serde_json::json!({ "id": owner, "state": "switching", "path": "/" });
    let journal = serde_json::json!({ "size": 1, "root": Digest::of(b"") });
    let owners = moving.iter().map(owner).collect::<Vec<_>>();
    serde_json::json!({
        "enrolment": "confirmed", "root_version": 1, "owners": owners, "receipts_waiting": 0, "refusals": [],
        "journal": journal
    })
    .to_string()
}

fn run<T>(test: impl AsyncFnOnce(Bench) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { test(Bench::new()).await })
}

use OwnerState::{Committed, Probation};

#[test]
fn a_generation_on_trial_is_linked_validated_taken_up_and_reported() {
    run(async |bench| {
        bench.set(vec![bench.clinics(Probation, 1, "a")]);
        let mut follower = bench.follower();
        follower.pass().await.unwrap();
        assert_eq!(bench.link(), Some(bench.target("groups/clinics")));
        assert_eq!(bench.said(), ["validate", "reload nginx.service"]);
        assert_eq!(bench.reports(), ["nginx 1 ready"]);
        follower.pass().await.unwrap();
        assert_eq!((bench.said(), bench.reports()), (vec![], vec![]), "once is enough");
    });
}

#[test]
fn a_restarted_helper_reports_again_and_touches_nothing() {
    run(async |bench| {
        bench.set(vec![bench.clinics(Probation, 1, "a")]);
        bench.follower().pass().await.unwrap();
        assert_eq!(bench.said().len(), 2);
        bench.follower().pass().await.unwrap();
        assert_eq!((bench.said(), bench.reports().len()), (vec![], 2));
        // Killed while it touched the unit: nobody knows, so once more.
        let (nginx, clinics) = ("nginx".parse().unwrap(), "group.clinics".parse().unwrap());
        Memory::open(&bench.path("units.json")).note(&nginx, &clinics, Some(crate::consumer::memory::Taken::Unknown));
        bench.follower().pass().await.unwrap();
        assert_eq!(bench.said(), ["validate", "reload nginx.service"]);
    });
}

#[test]
fn a_consumer_whose_files_did_not_change_is_ready_and_not_touched() {
    run(async |bench| {
        let mut follower = bench.follower();
        bench.set(vec![bench.clinics(Committed, 1, "a")]);
        follower.pass().await.unwrap();
        assert_eq!((bench.said().len(), bench.reports()), (2, vec![]), "nobody waits for what is committed");
        bench.set(vec![bench.clinics(Probation, 2, "a")]);
        follower.pass().await.unwrap();
        assert_eq!((bench.said(), bench.reports()), (vec![], vec!["nginx 2 ready".into()]));
        let mut section = bench.clinics(Probation, 3, "a");
        section.consumers.values_mut().next().unwrap().ready = Some("http://127.0.0.1:1/".into());
        bench.set(vec![section]);
        follower.pass().await.unwrap();
        assert_eq!(bench.said(), ["validate", "reload nginx.service"], "its section of the manifest changed");
    });
}

#[test]
fn content_that_does_not_validate_never_reaches_the_unit() {
    run(async |bench| {
        let mut follower = bench.follower();
        std::fs::write(bench.path("invalid"), "").unwrap();
        bench.set(vec![bench.clinics(Probation, 1, "broken")]);
        follower.pass().await.unwrap();
        assert_eq!(
            (bench.said(), bench.reports()),
            (vec!["validate".into()], vec!["nginx 1 failed validate-failed".into()])
        );
        assert_eq!(bench.link(), None, "the link is as it was");
        std::fs::remove_file(bench.path("invalid")).unwrap();
        bench.set(vec![bench.clinics(Committed, 2, "good")]);
        follower.pass().await.unwrap();
        bench.said();
        std::fs::write(bench.path("invalid"), "").unwrap();
        bench.set(vec![bench.clinics(Probation, 3, "broken")]);
        follower.pass().await.unwrap();
        follower.pass().await.unwrap();
        assert_eq!(bench.said(), ["validate"], "and is tried once");
        bench.set(vec![bench.clinics(Committed, 2, "good")]);
        follower.pass().await.unwrap();
        assert_eq!((bench.said(), bench.link()), (vec![], Some(bench.target("groups/clinics"))));
    });
}

#[test]
fn a_unit_that_broke_takes_the_restored_generation_up_again() {
    run(async |bench| {
        let mut follower = bench.follower();
        bench.set(vec![bench.clinics(Committed, 1, "good")]);
        follower.pass().await.unwrap();
        bench.said();
        std::fs::write(bench.path("breaks"), "failed").unwrap();
        bench.set(vec![bench.clinics(Probation, 2, "bad")]);
        follower.pass().await.unwrap();
        assert_eq!(bench.reports(), ["nginx 2 failed unit-failed"]);
        bench.said();
        bench.set(vec![bench.clinics(Committed, 1, "good")]);
        follower.pass().await.unwrap();
        assert_eq!(bench.said(), ["validate", "reset-failed nginx.service", "restart nginx.service"]);
        follower.pass().await.unwrap();
        assert_eq!(bench.said(), [] as [&str; 0]);
    });
}

#[test]
fn a_generation_whose_probes_fail_is_taken_back() {
    run(async |bench| {
        let mut follower = bench.follower();
        for (state, number, content) in [(Committed, 1, "old"), (Probation, 2, "new"), (Committed, 1, "old")] {
            bench.set(vec![bench.clinics(state, number, content)]);
            follower.pass().await.unwrap();
            assert_eq!(bench.said(), ["validate", "reload nginx.service"], "{content}");
        }
    });
}

#[test]
fn what_the_image_does_not_allow_is_refused_with_its_reason_and_touches_nothing() {
    let no_rule = |bench: &Bench| std::fs::remove_file(bench.path("consumers.d/nginx.toml")).unwrap();
    let rule = |from: &'static str, to: &'static str| move |bench: &Bench| bench.rule("nginx", &RULE.replace(from, to));
    type Arrange = Box<dyn Fn(&Bench)>;
    let cases: [(&str, &str, Arrange); 7] = [
        ("group.clinics", "not-allowed", Box::new(no_rule)),
        ("group.clinics", "not-allowed", Box::new(rule("unit", "units"))),
        ("tenant.north", "owner-not-allowed", Box::new(|_| {})),
        ("group.clinics", "owner-not-allowed", Box::new(rule("[[link]]", "owners = ['tenant.north']\n[[link]]"))),
        ("group.clinics", "unit-not-allowed", Box::new(rule("'nginx.service'", "'nginx@2.service'"))),
        ("group.clinics", "verb-not-allowed", Box::new(rule("'reload'", "'restart'"))),
        (
            "group.clinics",
            "link-unsafe",
            Box::new(|bench| {
                let open = std::fs::Permissions::from_mode(0o777);
                std::fs::set_permissions(bench.path("conf.d"), open).unwrap();
            }),
        ),
    ];
    for (owner, reason, arrange) in cases {
        run(async |bench| {
            arrange(&bench);
            bench.set(vec![bench.owner(owner, Probation, 1, "a")]);
            bench.follower().pass().await.unwrap();
            assert_eq!(bench.reports(), [format!("nginx 1 failed {reason}")]);
            assert_eq!((bench.said(), bench.link()), (vec![], None), "{reason}");
        });
    }
}

#[test]
fn a_tenant_that_is_listed_may() {
    run(async |bench| {
        bench.rule("nginx", &RULE.replace("[[link]]", "owners = ['tenant.north']\n[[link]]"));
        bench.set(vec![bench.owner("tenant.north", Probation, 1, "a")]);
        bench.follower().pass().await.unwrap();
        assert_eq!(
            (bench.reports(), bench.link()),
            (vec!["nginx 1 ready".into()], Some(bench.target("tenants/north")))
        );
    });
}

#[test]
fn links_lead_only_into_what_belongs_to_who_serves_the_socket() {
    run(async |bench| {
        let mut follower = bench.follower();
        follower.hands.server = 4711;
        bench.set(vec![bench.clinics(Probation, 1, "a")]);
        follower.pass().await.unwrap();
        assert_eq!(bench.reports(), ["nginx 1 failed path-refused"]);
        for path in ["/etc", "current/groups/clinics", "/a/../current/groups/clinics", "/current/groups/labs"] {
            let mut elsewhere = bench.clinics(Probation, 1, "a");
            elsewhere.path = path.into();
            bench.set(vec![elsewhere]);
            bench.follower().pass().await.unwrap();
            assert_eq!((bench.reports(), bench.link()), (vec!["nginx 1 failed path-refused".into()], None), "{path}");
        }
    });
}

#[test]
fn a_consumer_without_unit_reports_for_itself() {
    run(async |bench| {
        let mut own = bench.clinics(Probation, 1, "a");
        own.consumers.values_mut().next().unwrap().unit = None;
        bench.set(vec![own]);
        bench.follower().pass().await.unwrap();
        assert_eq!((bench.said(), bench.reports(), bench.link()), (vec![], vec![], None));
    });
}

#[test]
fn what_leaves_is_cleared_away_and_the_unit_told() {
    run(async |bench| {
        let mut follower = bench.follower();
        bench.set(vec![bench.clinics(Committed, 1, "a")]);
        follower.pass().await.unwrap();
        bench.said();
        let mut without = bench.clinics(Probation, 2, "a");
        without.files.remove(0);
        bench.set(vec![without]);
        follower.pass().await.unwrap();
        assert_eq!((bench.link(), bench.said()), (None, vec!["validate".into(), "reload nginx.service".into()]));
        bench.set(vec![bench.clinics(Committed, 1, "a")]);
        follower.pass().await.unwrap();
        assert_eq!(bench.link(), Some(bench.target("groups/clinics")));
        bench.said();
        bench.set(vec![]);
        // In no tree, because it is just being moved: it has not left.
        bench.agent.lock().unwrap().moving.push("group.clinics".parse().unwrap());
        follower.pass().await.unwrap();
        assert_eq!((bench.link(), bench.said()), (Some(bench.target("groups/clinics")), vec![]));
        bench.agent.lock().unwrap().moving.clear();
        follower.pass().await.unwrap();
        assert_eq!((bench.link(), bench.said()), (None, vec!["validate".into(), "reload nginx.service".into()]));
        follower.pass().await.unwrap();
        assert!(bench.said().is_empty());
    });
}

#[test]
fn one_owner_does_not_take_anothers_link() {
    run(async |bench| {
        let mut follower = bench.follower();
        let clinics = bench.clinics(Committed, 1, "a");
        bench.set(vec![clinics.clone()]);
        follower.pass().await.unwrap();
        bench.said();
        bench.set(vec![clinics, bench.owner("group.labs", Probation, 1, "b")]);
        follower.pass().await.unwrap();
        assert_eq!((bench.reports(), bench.said()), (vec!["nginx 1 failed link-taken".into()], vec![]));
        assert_eq!(bench.link(), Some(bench.target("groups/clinics")));
        // Once the first has left, the second may.
        bench.set(vec![bench.owner("group.labs", Probation, 2, "b")]);
        follower.pass().await.unwrap();
        assert_eq!((bench.reports(), bench.link()), (vec!["nginx 2 ready".into()], Some(bench.target("groups/labs"))));
    });
}

#[test]
fn an_event_wakes_it_and_a_lost_connection_has_it_read_the_tree_anew() {
    run(async |bench| {
        let helper = tokio::spawn(Follower::new(bench.options()).run());
        let reported = async |expected: &str| {
            for _ in 0..100_000 {
                if bench.reports().iter().any(|report| report == expected) {
                    return;
                }
                tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await.unwrap_err();
            }
            panic!("{expected} was never reported");
        };
        while bench.events.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        bench.set(vec![bench.clinics(Probation, 1, "a")]);
        bench.events.send_modify(|events| *events += 1);
        reported("nginx 1 ready").await;
        // Nothing is told of the next generation: the stream just ends.
        bench.set(vec![bench.clinics(Probation, 2, "b")]);
        bench.events.send_modify(|events| *events += 7);
        reported("nginx 2 ready").await;
        helper.abort();
    });
}
