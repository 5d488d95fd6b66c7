//! The agent's side of the contract, written by hand so that a mistake of an HTTP library cannot hide on both sides.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use casemate_protocol::digest::Digest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// The object id of a file of one part.
pub(crate) fn object(content: &[u8]) -> Digest {
    Digest::of(content)
}

/// A tree with one owner, `group.base`, that declares the consumer and assigns `files` to it.
pub(crate) fn tree(state: &str, generation: u64, folder: &Path, files: &[(&str, &[u8])]) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| {
            json!({ "path": path, "length": content.len(), "object": object(content), "consumer": "firmware" })
        })
        .collect();
    json!({ "sequence": generation, "owners": [{
        "id": "group.base", "state": state, "generation": { "number": generation, "version": 1, "manifest": "0" },
        "path": folder, "files": files, "consumers": { "firmware": { "on_change": "none" } },
    }] })
}

#[derive(Default)]
pub(crate) struct Script {
    /// Answers to `GET /v1/tree`, the last one for ever.
    pub(crate) trees: VecDeque<Value>,
    /// What `/v1/files/…` gives; cut once in the middle if `cut`.
    pub(crate) file: Vec<u8>,
    pub(crate) cut: bool,
    /// The answer to reports.
    pub(crate) refuse: Option<&'static str>,
    /// Request lines with the headers that matter.
    pub(crate) asked: Vec<String>,
}

/// An agent.
pub(crate) struct StandIn {
    script: Arc<Mutex<Script>>,
    /// What was reported.
    pub(crate) reports: mpsc::UnboundedReceiver<Value>,
    streams: mpsc::UnboundedReceiver<UnixStream>,
}

impl StandIn {
    pub(crate) fn start(folder: &Path, first: Value) -> Self {
        let listener = UnixListener::bind(folder.join("consumer.sock")).unwrap();
        let script = Arc::new(Mutex::new(Script { trees: [first].into(), ..Script::default() }));
        let (told, reports) = mpsc::unbounded_channel();
        let (opened, streams) = mpsc::unbounded_channel();
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared), told.clone(), opened.clone()));
            }
        });
        Self { script, reports, streams }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// The stream of events the service has just opened.
    pub(crate) async fn stream(&mut self) -> Stream {
        Stream(self.streams.recv().await.unwrap())
    }

    /// Ends the stream and waits for the next: whatever the service had under way is done then.
    pub(crate) async fn settled(&mut self, stream: Stream) -> Stream {
        drop(stream);
        self.stream().await
    }

    /// The next report.
    pub(crate) async fn report(&mut self) -> Value {
        self.reports.recv().await.unwrap()
    }
}

/// An open stream of events.
pub(crate) struct Stream(UnixStream);

impl Stream {
    pub(crate) async fn send(&mut self, id: u64, name: &str) {
        let event = format!(": still here\n\nid: {id}\nevent: {name}\ndata: {{\"sequence\":{id}}}\n\n");
        self.0.write_all(event.as_bytes()).await.unwrap();
    }
}

async fn answer(
    mut stream: UnixStream,
    script: Arc<Mutex<Script>>,
    told: mpsc::UnboundedSender<Value>,
    opened: mpsc::UnboundedSender<UnixStream>,
) {
    let (head, body) = request(&mut stream).await;
    let header = |name: &str| head.lines().find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned));
    let line = head.lines().next().unwrap().to_owned();
    let noted = [header("last-event-id: "), header("range: ")].into_iter().flatten();
    script.lock().unwrap().asked.push(noted.fold(line.clone(), |line, value| format!("{line} {value}")));
    let mut reply = Vec::new();
    match line.split(' ').nth(1).unwrap() {
        "/v1/tree" => {
            let mut script = script.lock().unwrap();
            let tree = if script.trees.len() > 1 { script.trees.pop_front() } else { script.trees.front().cloned() };
            write(&mut reply, "200 OK", tree.unwrap().to_string().as_bytes());
        }
        "/v1/events" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            let _test_ended = opened.send(stream);
            return;
        }
        "/v1/consumers/firmware/reports" => {
            match script.lock().unwrap().refuse {
                Some(code) => {
                    let failure = json!({ "code": code, "what": "no", "remedy": "none" });
                    write(&mut reply, "409 Conflict", failure.to_string().as_bytes());
                }
                None => write(&mut reply, "200 OK", b"{\"state\":\"probation\"}"),
            }
            let _test_ended = told.send(serde_json::from_slice(&body).unwrap());
        }
        path if path.starts_with("/v1/files/groups/base/firmware/") => {
            let mut script = script.lock().unwrap();
            let from = header("range: ").map(|range| range["bytes=".len()..range.len() - 1].parse::<usize>().unwrap());
            write(
                &mut reply,
                if from.is_some() { "206 Partial Content" } else { "200 OK" },
                &script.file[from.unwrap_or(0)..],
            );
            if std::mem::take(&mut script.cut) {
                reply.truncate(reply.len() - script.file.len() / 2);
            }
        }
        _ => write(&mut reply, "404 Not Found", b"{}"),
    }
    let _left = stream.write_all(&reply).await;
}

fn write(reply: &mut Vec<u8>, status: &str, body: &[u8]) {
    reply.extend_from_slice(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
    reply.extend_from_slice(body);
}

async fn request(stream: &mut UnixStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let body = &bytes[end + 4..];
            if body.len() >= length.unwrap_or(0) {
                return (head, body.to_vec());
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "a request broke off");
    }
}
