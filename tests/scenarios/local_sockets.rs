//! The sockets of the local API with their limits, before a loop made for the occasion.

use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_agent::config::{LocalSocket, Role};
use casemate_agent::exit::Failure;
use casemate_agent::local_api::answer::FilePlace;
use casemate_agent::local_api::call::{Answer, Call, ImportSource, Request};
use casemate_agent::local_api::client::Client;
use casemate_agent::local_api::event::{EventKind, ReceiptEvent};
use casemate_agent::local_api::{Hub, Sockets};
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_tests::http::{Reply, ask, get, post};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// Sockets of every role, served by a thread until this is dropped.
struct Scene {
    folder: TempDir,
    hub: Hub,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Scene {
    /// `answer` stands for the loop; it runs on a thread of its own.
    fn new(answer: impl Fn(Call) -> Answer + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let group = nix::unistd::Group::from_gid(nix::unistd::getegid()).unwrap().unwrap().name;
        let local = Role::ALL.map(|role| LocalSocket {
            role,
            path: folder.path().join(role.name()),
            group: (role != Role::Admin).then(|| group.clone()),
        });
        let (hub, (stop, stopped)) = (Hub::new(100), oneshot::channel());
        let (calls, mut queue) = mpsc::channel::<Request>(32);
        std::thread::spawn(move || {
            while let Some(Request { call, reply }) = queue.blocking_recv() {
                let _asked = reply.send(answer(call));
            }
        });
        let (bound, ready) = std::sync::mpsc::channel();
        let told = hub.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let sockets = Sockets::bind(&local).unwrap();
                bound.send(()).unwrap();
                tokio::select! {
                    () = sockets.serve(calls, told) => {}
                    _ = stopped => {}
                }
            });
        });
        ready.recv().unwrap();
        Self { folder, hub, stop: Some(stop), thread: Some(thread) }
    }

    fn socket(&self, role: Role) -> PathBuf {
        self.folder.path().join(role.name())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _stopped = self.stop.take().map(|stop| stop.send(()));
        let _ended = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// What a process of another user is answered through `socket`: a status, or nothing if it does not get in.
fn asked_by_another(socket: &Path, group: &str, supplementary: &[&str]) -> String {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", group, "--no-new-privs"]);
    match supplementary {
        [] => command.arg("--clear-groups"),
        groups => command.args(["--groups", &groups.join(",")]),
    };
    command.args(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]).arg(socket);
    String::from_utf8(command.arg("http://agent/v1/health").output().unwrap().stdout).unwrap()
}

#[test]
fn a_groups_members_get_in_by_any_of_their_groups_and_nobody_else_even_if_the_mode_is_opened() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can become somebody else; the rule itself is a unit test.
        return;
    }
    let scene = Scene::new(healthy);
    std::fs::set_permissions(scene.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (socket, admin) = (scene.socket(Role::Consumer), scene.socket(Role::Admin));
    let own = nix::unistd::getegid().to_string();
    assert_eq!(asked_by_another(&socket, &own, &[]), "200");
    assert_eq!(asked_by_another(&socket, "65534", &[&own]), "200");
    assert_eq!(asked_by_another(&socket, "65534", &[]), "000");
    for path in [&socket, &admin] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(asked_by_another(path, "65534", &[]), "000", "{}", path.display());
    }
    assert_eq!(asked_by_another(&admin, &own, &[]), "000");
    assert_eq!(asked_by_another(&socket, &own, &[]), "200");
}

fn healthy(_: Call) -> Answer {
    Ok(json!({ "state": "ok" }))
}

fn refused(reply: &Reply, status: u16, code: Code) {
    assert_eq!((reply.status, reply.code()), (status, code.to_string()), "{reply:?}");
    assert_eq!(casemate_tests::openapi::complaints_as("Failure", &reply.json()), [""; 0]);
}

#[test]
fn each_role_has_a_socket_of_its_own_mode_and_its_own_routes() {
    let scene = Scene::new(healthy);
    for (role, mode, allowed) in [(Role::Admin, 0o600, 3), (Role::Consumer, 0o660, 2), (Role::Monitor, 0o660, 1)] {
        let socket = scene.socket(role);
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o7777, mode);
        for (at, path) in ["/v1/health", "/v1/status", "/v1/receipts"].into_iter().enumerate() {
            let reply = get(&socket, path);
            if at < allowed {
                assert_eq!(reply.status, 200, "{role} {path}");
            } else {
                refused(&reply, 403, Code::NotPermitted);
            }
        }
        assert_eq!(get(&socket, "/v1/openapi.json").json()["openapi"], "3.1.0");
    }
    let paths = Role::ALL.map(|role| scene.socket(role));
    drop(scene);
    assert!(paths.iter().all(|path| !path.exists()));
}

#[test]
fn what_is_no_request_of_a_route_is_told_so() {
    let scene = Scene::new(healthy);
    let admin = scene.socket(Role::Admin);
    refused(&get(&admin, "/v1/nothing"), 404, Code::NotFound);
    refused(&get(&admin, "/v1/receipts/-1"), 404, Code::NotFound);
    refused(&get(&admin, "/v1/files/groups/clinics/../x"), 404, Code::NotFound);
    refused(&get(&admin, "/v1/files/people/clinics/x"), 404, Code::NotFound);
    refused(&get(&admin, "/v1/events?after=yesterday"), 400, Code::UsageInvalid);
    let deleted = ask(&admin, "DELETE /v1/health HTTP/1.1", b"");
    refused(&deleted, 405, Code::UsageInvalid);
    assert_eq!(deleted.headers["allow"], "GET");
    refused(&post(&admin, "/v1/bundles", &json!({ "path": "relative" })), 400, Code::UsageInvalid);
    refused(&post(&admin, "/v1/bundles", &json!({ "path": "/a", "force": true })), 400, Code::UsageInvalid);
    refused(&post(&admin, "/v1/receipts/1/taken", &json!({})), 413, Code::TooLarge);
    refused(&ask(&admin, "POST /v1/bundles HTTP/1.1\nContent-Type: text/plain", b"x"), 415, Code::UsageInvalid);
    refused(&ask(&admin, "POST /v1/enrolment/words HTTP/1.1", b"{}"), 415, Code::UsageInvalid);
    let long = "POST /v1/enrolment/words HTTP/1.1\nContent-Type: application/json\nContent-Length: 3000000";
    refused(&ask(&admin, long, b""), 413, Code::TooLarge);
    let wide =
        json!({ "owner": "group.clinics", "generation": 1, "outcome": "ready", "padding": "x".repeat(16 << 10) });
    refused(&post(&scene.socket(Role::Consumer), "/v1/consumers/synapse/reports", &wide), 413, Code::TooLarge);
    let many: String = (0..200).map(|number| format!("\nx-{number}: 1")).collect();
    assert_eq!(ask(&admin, &format!("GET /v1/health HTTP/1.1{many}"), b"").status, 431);
    let wide = "x".repeat(64 << 10);
    assert_eq!(ask(&admin, &format!("GET /v1/health HTTP/1.1\nx: {wide}"), b"").status, 431);
    let head = ask(&admin, "HEAD /v1/health HTTP/1.1", b"");
    assert!(head.status == 200 && head.body.is_empty(), "{head:?}");
    assert_eq!(ask(&admin, "HEAD /v1/events HTTP/1.1", b"").headers["content-type"], "text/event-stream");
    assert_eq!(get(&admin, "/v1/health").status, 200);
}

/// A loop that knows one file, at `path`.
fn filed(path: &Path) -> impl Fn(Call) -> Answer + Send + 'static {
    let place = FilePlace {
        path: path.into(),
        length: std::fs::metadata(path).unwrap().len(),
        object: Digest::of(&std::fs::read(path).unwrap()),
    };
    move |call| match call {
        Call::File { path, .. } if path.as_str() == "a/b@c" => Ok(serde_json::to_value(&place).unwrap()),
        _ => Err(Failure {
            code: Code::NotFound,
            message: "no such file".into(),
            causes: Vec::new(),
            remedy: "Look.".into(),
        }),
    }
}

#[test]
fn a_file_comes_whole_or_by_range_and_not_again_to_whom_has_it() {
    let content: Vec<u8> = (0..700_001_u32).flat_map(u32::to_le_bytes).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), &content).unwrap();
    let scene = Scene::new(filed(&folder.path().join("file")));
    let consumer = scene.socket(Role::Consumer);
    let with = |header: &str| ask(&consumer, &format!("GET /v1/files/groups/clinics/a/b@c HTTP/1.1\n{header}"), b"");

    let whole = with("Accept: */*");
    assert!(whole.status == 200 && whole.body == content);
    let tag = whole.headers["etag"].clone();
    assert_eq!(tag, format!("\"{}\"", Digest::of(&content)));
    assert_eq!(whole.headers["accept-ranges"], "bytes");
    let part = with("Range: bytes=5-1000004");
    assert!(part.status == 206 && part.body == content[5..=1_000_004]);
    assert_eq!(part.headers["content-range"], format!("bytes 5-1000004/{}", content.len()));
    assert!(with("Range: bytes=-7").body == content[content.len() - 7..]);
    let beyond = with(&format!("Range: bytes={}-", content.len()));
    refused(&beyond, 416, Code::UsageInvalid);
    assert_eq!(beyond.headers["content-range"], format!("bytes */{}", content.len()));
    assert_eq!(with(&format!("Range: bytes=0-1\nIf-Range: {tag}")).status, 206);
    assert_eq!(with("Range: bytes=0-1\nIf-Range: \"other\"").status, 200);
    let known = with(&format!("If-None-Match: {tag}"));
    assert!(known.status == 304 && known.body.is_empty());
    let head = ask(&consumer, "HEAD /v1/files/groups/clinics/a%2Fb%40c HTTP/1.1", b"");
    assert!(head.status == 200 && head.body.is_empty());
    assert_eq!(head.headers["content-length"], content.len().to_string());
    refused(&get(&consumer, "/v1/files/groups/clinics/a/b"), 404, Code::NotFound);

    // A file that is no more what the store said is not sent as if it were.
    std::fs::OpenOptions::new().append(true).open(folder.path().join("file")).unwrap().write_all(b"x").unwrap();
    refused(&with("Accept: */*"), 500, Code::Internal);
}

#[test]
fn one_roles_crowd_takes_no_place_of_another_and_followers_none_of_those_who_ask() {
    let scene = Scene::new(healthy);
    let consumer = scene.socket(Role::Consumer);
    let follow = || {
        let mut stream = UnixStream::connect(&consumer).unwrap();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (stream, status)
    };
    let mut followers: Vec<_> = (0..32).map(|_| follow()).collect();
    assert!(followers.iter().all(|(_, status)| status == b"HTTP/1.1 200"));
    let (mut refused, status) = follow();
    assert_eq!(&status, b"HTTP/1.1 503");
    let mut rest = [0; 400];
    let read = refused.read(&mut rest).unwrap();
    assert!(String::from_utf8_lossy(&rest[..read]).contains("retry-after: 1"));
    assert_eq!(get(&consumer, "/v1/health").status, 200);
    // Every connection the role may have, and a queue of more: all say nothing.
    let silent: Vec<_> = (0..100).map(|_| UnixStream::connect(&consumer).unwrap()).collect();
    for role in [Role::Admin, Role::Monitor] {
        assert_eq!(get(&scene.socket(role), "/v1/health").status, 200);
    }
    drop(silent);
    // Whoever leaves makes room.
    followers.clear();
    assert_eq!(get(&consumer, "/v1/health").status, 200);
    assert_eq!(&follow().1, b"HTTP/1.1 200");
}

fn receipts(numbers: std::ops::Range<u64>) -> Vec<EventKind> {
    numbers.map(|receipt| EventKind::Receipt(ReceiptEvent { receipt, code: Code::Applied })).collect()
}

#[test]
fn a_follower_hears_each_event_once_and_resumes_where_it_was() {
    let scene = Scene::new(healthy);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = scene.socket(Role::Consumer);
        let follow = async |after| Client::connect(&socket).await.unwrap().follow(after).await.unwrap();
        let mut events = follow(None).await;
        scene.hub.publish(101, receipts(0..2));
        scene.hub.publish(103, receipts(2..3));
        let mut heard = Vec::new();
        for _ in 0..3 {
            let received = events.next().await.unwrap().unwrap();
            heard.push((received.event.sequence, received.resume));
        }
        assert_eq!(heard, [(101, None), (101, Some(101)), (103, Some(103))]);
        drop(events);
        scene.hub.publish(104, receipts(3..4));
        let resumed = follow(Some(103)).await.next().await.unwrap().unwrap();
        assert_eq!(resumed.resume, Some(104));
        let reset = follow(Some(7)).await.next().await.unwrap().unwrap();
        assert_eq!((reset.event.kind, reset.resume), (EventKind::Reset, Some(104)));
    });
    // As a browser resumes: the header counts, not the query it began with.
    let mut stream = UnixStream::connect(scene.socket(Role::Consumer)).unwrap();
    stream.write_all(b"GET /v1/events?after=100 HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 103\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains("id: 104") {
        let count = stream.read(&mut buffer).unwrap();
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(text.contains("text/event-stream") && !text.contains("id: 101"), "{text}");
}

#[test]
fn a_follower_that_does_not_read_is_dropped_whole_events_behind_it_and_learns_of_the_gap() {
    let scene = Scene::new(healthy);
    let mut stream = UnixStream::connect(scene.socket(Role::Consumer)).unwrap();
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    // More than the ring, the connection's buffer and the kernel's hold together, in bites a reader could keep up with.
    let mut sequence = 100;
    for _ in 0..200 {
        for _ in 0..100 {
            sequence += 1;
            scene.hub.publish(sequence, receipts(0..1));
        }
        assert_eq!(get(&scene.socket(Role::Monitor), "/v1/health").status, 200);
    }
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let text = String::from_utf8_lossy(&rest);
    let ids: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert!(ids.iter().copied().eq(101..=*ids.last().unwrap()), "no gap before the end");
    let last = *ids.last().unwrap();
    assert!(last < sequence - 256, "it was dropped, {last} of {sequence}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&scene.socket(Role::Consumer)).await.unwrap();
        let next = client.follow(Some(last)).await.unwrap().next().await.unwrap().unwrap();
        assert_eq!((next.event.kind, next.resume), (EventKind::Reset, Some(sequence)));
    });
}

/// A loop that reads a streamed bundle as far as `limit` and says how many bytes it saw.
fn reading(limit: u64) -> impl Fn(Call) -> Answer + Send + 'static {
    move |call| {
        let Call::Import { source: ImportSource::Stream(pipe), wait: true, dry_run: true, .. } = call else {
            return Ok(json!({ "another": true }));
        };
        let seen = std::io::copy(&mut pipe.take(limit), &mut std::io::sink()).unwrap();
        Ok(json!({ "seen": seen }))
    }
}

const STREAM: &str = "POST /v1/bundles?wait=true&dry_run=true HTTP/1.1\nContent-Type: application/vnd.casemate.bundle";

#[test]
fn a_bundle_in_the_body_goes_through_a_pipe_and_its_sender_is_answered_even_if_it_is_not_read_to_the_end() {
    let scene = Scene::new(reading(u64::MAX));
    let bytes = vec![7; 20 << 20];
    assert_eq!(ask(&scene.socket(Role::Admin), STREAM, &bytes).json()["seen"], 20 << 20);
    let early = Scene::new(reading(10));
    assert_eq!(ask(&early.socket(Role::Admin), STREAM, &bytes).json()["seen"], 10);
    refused(&ask(&scene.socket(Role::Consumer), STREAM, b"x"), 403, Code::NotPermitted);
    refused(&ask(&scene.socket(Role::Admin), &STREAM.replace("true", "maybe"), b"x"), 400, Code::UsageInvalid);
}

#[test]
fn a_bundle_in_the_body_is_taken_no_faster_than_it_is_read_and_ends_early_when_its_sender_does() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (seen, told) = std::sync::mpsc::channel();
    let scene = Scene::new(move |call| {
        let Call::Import { source: ImportSource::Stream(mut pipe), .. } = call else { return Ok(json!({})) };
        gone.recv().unwrap();
        assert!(pipe.stream_position().is_err(), "a pipe");
        seen.send(std::io::copy(&mut pipe, &mut std::io::sink()).unwrap()).unwrap();
        Ok(json!({}))
    });
    let mut stream = UnixStream::connect(scene.socket(Role::Admin)).unwrap();
    let head = STREAM.replace('\n', "\r\n");
    stream.write_all(format!("{head}\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n").as_bytes()).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let (mut sent, piece) = (0_u64, [0; 64 << 10]);
    // Nobody reads: the pipe, the connection and the kernel fill, and then nothing more is taken.
    while let Ok(count) = stream.write(&piece) {
        sent += count as u64;
        assert!(sent < 8 << 20, "somebody holds what nobody reads");
    }
    drop(stream);
    go.send(()).unwrap();
    assert!(told.recv().unwrap() <= sent);
}
