use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::Frame;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use super::super::call::Request;
use super::super::hub::Hub;
use super::super::places::Places;
use super::super::spool::Spool;
use super::*;
use crate::pace::Pace;

/// A body of which a piece comes every 29 seconds.
struct Drip {
    piece: usize,
    left: usize,
    next: Pin<Box<Sleep>>,
}

impl Drip {
    const EVERY: Duration = Duration::from_secs(29);

    fn new(piece: usize, pieces: usize) -> Self {
        Self { piece, left: pieces, next: Box::pin(sleep(Self::EVERY)) }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.next.as_mut().poll(context));
        self.left -= 1;
        self.next = Box::pin(sleep(Self::EVERY));
        Poll::Ready(Some(Ok(Frame::data(vec![0; self.piece].into()))))
    }
}

fn paused<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(work)
}

fn publisher() -> CertificateName {
    "casemate://LU/publisher/pub-1".parse().unwrap()
}

fn made() -> (TempDir, Spool) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&folder.path().join("push"), 0).unwrap();
    (folder, spool)
}

#[test]
fn a_byte_every_29_seconds_keeps_no_place_and_a_slow_line_does() {
    paused(async {
        let (_folder, spool) = made();
        let begun = Instant::now();
        let (upload, ended) = receive(spool.post(&publisher(), 9).unwrap(), Drip::new(1, 9)).await.unwrap();
        assert!(matches!(ended, Err(RequestError::Silent)) && upload.received() == 1, "{ended:?}");
        assert!(begun.elapsed() < PATIENCE + Duration::from_secs(1), "{:?}", begun.elapsed());
        let length = 4 * PACE as u64;
        let (upload, ended) = receive(spool.post(&publisher(), length).unwrap(), Drip::new(PACE, 4)).await.unwrap();
        assert!(ended.is_ok() && upload.is_whole(), "{ended:?}");
    });
}

#[test]
fn whoever_waits_for_an_import_takes_no_place_to_receive_in() {
    paused(async {
        let (_folder, spool) = made();
        let (calls, mut queue) = mpsc::channel::<Request>(4);
        let shared = Arc::new(Shared::new(spool.clone(), Pace::new(Duration::ZERO, 1), |_, _, _, _| ()));
        let backend = Arc::new(Backend {
            caller: Caller::Remote(Arc::new(publisher())),
            calls,
            hub: Hub::new(0),
            places: Places::remote(),
            remote: Some(shared.clone()),
        });
        let place = shared.upload(&publisher()).unwrap();
        assert!(matches!(shared.upload(&publisher()), Err(RequestError::Sending)));
        let upload = spool.post(&publisher(), 0).unwrap();
        let waiting = tokio::spawn(async move { finish(&backend, upload, true, false, place).await });
        let import = queue.recv().await.unwrap();
        drop(shared.upload(&publisher()).unwrap());
        let _left = import.reply.send(Ok(json!({ "bundles": [] })));
        assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);
    });
}
