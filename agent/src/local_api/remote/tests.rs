use std::cell::RefCell;

use casemate_protocol::code::Code;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::call::Answer;
use super::*;
use crate::exit::Failure;

/// An answer that left: its route, its length, and all of it if it was at hand.
type Left = (String, Option<u64>, Option<Vec<u8>>);

thread_local! {
    static LEFT: RefCell<Vec<Left>> = const { RefCell::new(Vec::new()) };
}

/// The API over a loop that knows only one answer.
fn made() -> (TempDir, Remote) {
    made_with(Ok(json!({ "state": "ok" })))
}

fn made_with(answer: Answer) -> (TempDir, Remote) {
    let folder = tempfile::tempdir().unwrap();
    let (calls, mut queue) = mpsc::channel::<Request>(32);
    tokio::spawn(async move {
        while let Some(Request { reply, .. }) = queue.recv().await {
            let _left = reply.send(answer.clone());
        }
    });
    let spool = Spool::open(&folder.path().join("push"), 0).unwrap();
    let let_out: LetOut = |route, to, length, body| {
        assert_eq!(to.jurisdiction.to_string(), "LU");
        LEFT.with_borrow_mut(|left| left.push((route.into(), length, body.map(<[u8]>::to_vec))));
    };
    (folder, Remote::new(calls, Hub::new(0), spool, let_out).with_pace(Duration::ZERO, 1))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn connect(remote: &Remote) -> DuplexStream {
    connect_as(remote, "casemate://LU/operator/ops-1")
}

fn connect_as(remote: &Remote, name: &str) -> DuplexStream {
    let name = name.parse().unwrap();
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let remote = remote.clone();
    tokio::spawn(async move { remote.serve(theirs, name).await });
    ours
}

/// What comes back until the other side ends it, or we do.
async fn told(mut stream: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    // A server that has seen enough may have closed its side.
    let _sent = stream.write_all(bytes).await;
    let _closed = stream.shutdown().await;
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer).await;
    answer
}

/// The answer to a request for `path`, head and body.
async fn asked(remote: &Remote, path: &str) -> (String, String) {
    let mut stream = connect(remote);
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn is_served(remote: &Remote) {
    let mut stream = connect(remote);
    stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
}

/// Numbers that are the same each time (Marsaglia, "Xorshift RNGs", 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}

const SAMPLES: &[&[u8]] = &[
    b"GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/bundles HTTP/1.1\r\nHost: a\r\nContent-Type: application/vnd.casemate.bundle\r\nContent-Length: 4\r\n\r\nxxxx",
    b"POST /v1/bundles HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n0\r\n\r\n",
    b"PATCH /v1/uploads/00 HTTP/1.1\r\nHost: a\r\nUpload-Offset: -1\r\nUpload-Length: 99999999999999999999\r\n\r\n",
    b"POST /v1/receipts/1/taken HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxx",
    b"GET /v1/files/groups/../../../etc/passwd HTTP/1.1\r\nHost: a\r\nRange: bytes=9-1,-\r\n\r\n",
    b"GET /v1/events?after=%ff&after HTTP/1.1\r\nLast-Event-ID: \xff\r\n folded: yes\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET http://[::1]:99999/v1/health HTTP/1.1\r\nHost: \0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nExpect: 200-maybe\r\n\r\n",
];

#[test]
fn ten_thousand_malformed_requests_neither_panic_nor_hold_up_others() {
    block_on(async {
        let (folder, remote) = made();
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut answered = 0;
        for round in 0..10_000 {
            let mut request = SAMPLES[numbers.below(SAMPLES.len())].to_vec();
            for _ in 0..numbers.below(6) {
                let at = numbers.below(request.len());
                match numbers.below(3) {
                    0 => request[at] = u8::try_from(numbers.below(256)).unwrap(),
                    1 => drop(request.drain(at..(at + 3).min(request.len()))),
                    _ => request.insert(at, b"\r\n:%\0 "[numbers.below(6)]),
                }
                if request.is_empty() {
                    request.push(0);
                }
            }
            answered += usize::from(told(connect(&remote), &request).await.starts_with(b"HTTP/1.1 4"));
            if round % 1000 == 0 {
                is_served(&remote).await;
            }
        }
        is_served(&remote).await;
        assert!(answered > 3000, "{answered} were told what is wrong with them");
        let left: Vec<_> = std::fs::read_dir(folder.path().join("push")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(remote.shared.uploads.available_permits(), UPLOADS);
        assert!(remote.shared.sending.lock().unwrap().is_empty());
    });
}

#[test]
fn a_head_without_an_end_is_cut_off_at_its_limit() {
    block_on(async {
        let (_folder, remote) = made();
        let endless = [b"GET /v1/health HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 60 << 10]].concat();
        let answer = told(connect(&remote), &endless).await;
        assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
        let many = [b"GET /v1/health HTTP/1.1\r\n".to_vec(), b"A: b\r\n".repeat(101), b"\r\n".to_vec()].concat();
        assert!(told(connect(&remote), &many).await.starts_with(b"HTTP/1.1 431"));
    });
}

#[test]
fn who_sends_slowly_holds_up_nobody() {
    block_on(async {
        let (_folder, remote) = made();
        let mut slow = Vec::new();
        for _ in 0..60 {
            let mut stream = connect(&remote);
            stream.write_all(b"GET /v1/health HTTP/1.1\r\nHo").await.unwrap();
            slow.push(stream);
        }
        let head = b"POST /v1/bundles HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Type: application/vnd.casemate.bundle\r\n\r\nx";
        let mut uploads = Vec::new();
        for name in ["publisher/p-1", "publisher/p-1", "publisher/p-2", "publisher/p-3", "publisher/p-4"] {
            let mut stream = connect_as(&remote, &format!("casemate://LU/{name}"));
            stream.write_all(head).await.unwrap();
            is_served(&remote).await;
            uploads.push(stream);
        }
        // One bundle a certificate, and not all places for publishers: who has none is told so.
        for refused in [1, 4] {
            let mut answer = [0; 12];
            uploads[refused].read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 503", "{refused}");
        }
        // Publishers leave a place for an operator.
        let mut stream = connect(&remote);
        stream.write_all(&[head, b"12345678".as_slice()].concat()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    });
}

#[test]
fn one_certificate_that_asks_without_end_is_slowed_down_and_others_are_not() {
    block_on(async {
        let (_folder, remote) = made();
        let slowed = remote.with_pace(Duration::from_secs(3600), 2);
        is_served(&slowed).await;
        is_served(&slowed).await;
        let greedy: CertificateName = "casemate://LU/operator/ops-1".parse().unwrap();
        let mut waits = std::pin::pin!(slowed.shared.pace(&greedy));
        let waiting = std::future::poll_fn(|context| std::task::Poll::Ready(waits.as_mut().poll(context).is_pending()));
        assert!(waiting.await);
        slowed.shared.pace(&"casemate://LU/operator/ops-2".parse().unwrap()).await;
    });
}

#[test]
fn health_is_told_as_of_a_moment_ago_and_no_longer() {
    let (recent, begun) = (Recent::default(), Instant::now());
    assert_eq!(recent.get(begun), None);
    recent.keep(Bytes::from_static(b"ok"), begun);
    assert_eq!(recent.get(begun + RECENT / 2).as_deref(), Some(&b"ok"[..]));
    assert_eq!(recent.get(begun + RECENT), None);
}

#[test]
fn every_answer_is_let_out_refusals_too_and_a_stream_as_it_begins() {
    block_on(async {
        let (_folder, remote) = made();
        let (_, status) = asked(&remote, "/v1/status").await;
        let (_, unknown) = asked(&remote, "/v1/nothing").await;
        let mut follower = connect(&remote);
        follower.write_all(b"GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        follower.read_u8().await.unwrap();
        let whole =
            |route: &str, body: String| -> Left { (route.into(), Some(body.len() as u64), Some(body.into_bytes())) };
        let left = LEFT.take();
        assert_eq!(left, [whole("/v1/status", status), whole("-", unknown), ("/v1/events".into(), None, None)]);
    });
}

#[test]
fn what_tenants_have_is_not_told_elsewhere() {
    block_on(async {
        let owners = json!({ "owners": [{ "id": "group.clinics" }, { "id": "tenant.north" }] });
        let (_folder, remote) = made_with(Ok(owners));
        for path in ["/v1/tree", "/v1/diff"] {
            let (_, body) = asked(&remote, path).await;
            assert_eq!(body.trim(), json!({ "owners": [{ "id": "group.clinics" }] }).to_string(), "{path}");
        }
        let (head, body) = asked(&remote, "/v1/files/tenants/north/app/config.toml").await;
        assert!(head.starts_with("HTTP/1.1 403") && body.contains("not-permitted"), "{head} {body}");
        let (head, _) = asked(&remote, "/v1/files/groups/clinics/app/config.toml").await;
        assert!(!head.starts_with("HTTP/1.1 403"), "{head}");
    });
}

#[test]
fn a_failure_told_elsewhere_names_no_cause_and_no_path_of_the_appliance() {
    block_on(async {
        let failure = Failure {
            code: Code::Internal,
            message: "cannot open /var/lib/casemate/objects".into(),
            causes: vec!["permission denied".into()],
            remedy: "Look.".into(),
        };
        let (_folder, remote) = made_with(Err(failure));
        let (head, body) = asked(&remote, "/v1/status").await;
        assert!(head.starts_with("HTTP/1.1 500") && body.contains("cannot open …"), "{head} {body}");
        assert!(!body.contains("casemate") && !body.contains("denied"), "{body}");
    });
}
