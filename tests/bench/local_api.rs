//! Figures of the local API, for `tests/bench/run`.
//!
//! - `floor SOCKET`: a bare hyper server that answers everything with one document; what HTTP over a unix socket costs.
//! - `ask SOCKET COUNT kept|fresh`: microseconds a `GET /v1/health` takes, over one connection or one each: p50 and p99.
//! - `lag FOLDER COUNT`: microseconds from an event's publication to a follower's having read it: p50 and p99.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot run has no figures")]

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use casemate_agent::config::{LocalSocket, Role};
use casemate_agent::local_api::event::{EventKind, ReceiptEvent};
use casemate_agent::local_api::{Hub, Sockets};
use casemate_protocol::code::Code;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// As long as a health report of an enrolled appliance.
const DOCUMENT: &str = "{\"clock\":\"plausible\",\"demo\":true,\"format\":1,\"generations\":1,\"state\":\"ok\"}";
const LENGTH: usize = 560;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut micros = match arguments.as_slice() {
        ["floor", socket] => floor(Path::new(socket)),
        ["ask", socket, count, "kept"] => kept(Path::new(socket), count.parse().unwrap()),
        ["ask", socket, count, "fresh"] => fresh(Path::new(socket), count.parse().unwrap()),
        ["lag", folder, count] => lag(Path::new(folder), count.parse().unwrap()),
        _ => panic!("floor SOCKET | ask SOCKET COUNT kept|fresh | lag FOLDER COUNT"),
    };
    micros.sort_by(f64::total_cmp);
    println!("{:.1} {:.1}", micros[micros.len() / 2], micros[micros.len() * 99 / 100]);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn floor(socket: &Path) -> Vec<f64> {
    let document = Bytes::from(format!("{DOCUMENT:<LENGTH$}"));
    runtime().block_on(async {
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let document = document.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let response = Response::new(Full::new(document.clone()));
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

/// One exchange; the stream is at the next one's beginning afterwards.
fn exchange(stream: &mut BufReader<UnixStream>) {
    stream.get_mut().write_all(b"GET /v1/health HTTP/1.1\r\nHost: agent\r\n\r\n").unwrap();
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

fn kept(socket: &Path, count: usize) -> Vec<f64> {
    let mut stream = BufReader::new(UnixStream::connect(socket).unwrap());
    let mut one = || {
        let begun = Instant::now();
        exchange(&mut stream);
        micros(begun)
    };
    (0..count).map(|_| one()).collect()
}

fn fresh(socket: &Path, count: usize) -> Vec<f64> {
    let one = || {
        let begun = Instant::now();
        exchange(&mut BufReader::new(UnixStream::connect(socket).unwrap()));
        micros(begun)
    };
    (0..count).map(|_| one()).collect()
}

fn lag(folder: &Path, count: u64) -> Vec<f64> {
    let path = folder.join("lag.sock");
    let local = [LocalSocket { role: Role::Admin, path: path.clone(), group: None }];
    let (hub, (calls, _queue)) = (Hub::new(0), tokio::sync::mpsc::channel(1));
    let (begun, told) = std::sync::mpsc::channel::<Instant>();
    runtime().block_on(async {
        let sockets = Sockets::bind(&local).unwrap();
        let follower = std::thread::spawn(move || follow(&path, &told, count));
        let publish = async {
            for sequence in 1..=count {
                tokio::time::sleep(Duration::from_millis(1)).await;
                begun.send(Instant::now()).unwrap();
                hub.publish(sequence, [EventKind::Receipt(ReceiptEvent { receipt: sequence, code: Code::Applied })]);
            }
            tokio::task::spawn_blocking(|| follower.join().unwrap()).await.unwrap()
        };
        tokio::select! {
            () = sockets.serve(calls, hub.clone()) => panic!("the server ended"),
            lags = publish => lags,
        }
    })
}

fn follow(path: &Path, told: &std::sync::mpsc::Receiver<Instant>, count: u64) -> Vec<f64> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET /v1/events?after=0 HTTP/1.1\r\nHost: agent\r\n\r\n").unwrap();
    let mut lags = Vec::new();
    for line in BufReader::new(stream).lines() {
        if line.unwrap().starts_with("data: ") {
            lags.push(micros(told.recv().unwrap()));
        }
        if lags.len() as u64 == count {
            break;
        }
    }
    lags
}
