//! The shell: connects, reads, writes, waits, and passes on what is asked of the loop.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use casemate_protocol::boundary::Peer;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::Name;
use casemate_protocol::evidence::receipt::Transport;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep_until, timeout};

use super::client::{Client, Want};
use super::desk::BATCH;
use super::fault::Fault;
use super::pace::Pace;
use super::session::Session;
use super::spool::Spool;
use crate::exit::Failure;
use crate::transport::backend::{Arrived, Backend, News, Numbered, Order, Source};
use crate::transport::tls::{self, Credentials, TlsError};

/// Pauses between attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// A connection that held so long, or brought anything on, was a good one: the next attempt after it comes soon.
const GOOD: Duration = Duration::from_secs(60);
/// How long the broker may take to take what we send.
const WRITING: Duration = Duration::from_secs(30);

/// How a broker is connected to.
pub(super) trait Connect {
    /// What is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Connects.
    async fn connect(&mut self, credentials: &Credentials) -> Result<Self::Stream, Fault>;
}

/// Through the door, over TLS, to who holds the pinned key.
struct Door {
    peer: Peer,
    backend: Backend,
}

impl Connect for Door {
    type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

    async fn connect(&mut self, credentials: &Credentials) -> Result<Self::Stream, Fault> {
        let connecting = tls::connect(&self.backend.door, &self.peer, credentials, b"mqtt");
        connecting.await.map_err(|error| Fault::Connect { code: error.code(), source: Box::new(error) })
    }
}

/// Keeps a connection with the broker `peer` for as long as the policy names it. Never returns.
pub async fn run(peer: Peer, backend: Backend, credentials: watch::Receiver<Arc<Credentials>>) {
    let door = Door { peer: peer.clone(), backend: backend.clone() };
    keep(door, peer.id, backend, credentials).await;
}

/// As [`run`], over whatever `connect` connects to.
pub(super) async fn keep<C: Connect>(
    mut connect: C,
    peer: Name,
    backend: Backend,
    mut credentials: watch::Receiver<Arc<Credentials>>,
) {
    let now = tokio::time::Instant::now().into_std();
    let spool = loop {
        match Spool::open(&backend.spool, backend.reserve) {
            Ok(spool) => break spool,
            Err(error) => {
                tracing::error!(%peer, code = %error.code(), error = %Failure::of(&error).told(), "no broker is asked");
                tokio::time::sleep(PAUSES.1).await;
            }
        }
    };
    let appliance = credentials.borrow().appliance.clone();
    let mut link = Link { client: Client::new(appliance, spool, now), peer, backend, replies: Replies::default() };
    let mut pace = Pace::new(PAUSES.0, PAUSES.1);
    loop {
        let current = credentials.borrow_and_update().clone();
        let began = tokio::time::Instant::now();
        let fault = link.connection(&mut connect, &current, &mut credentials).await;
        let progress = link.client.end();
        link.told(&fault).await;
        if progress || began.elapsed() >= GOOD || matches!(fault, Fault::Renewed) {
            pace.reset();
        }
        let until = pace.again(tokio::time::Instant::now().into_std());
        tokio::select! {
            () = sleep_until(until.into()) => {}
            // Perhaps what was wrong is right now.
            changed = credentials.changed() => if changed.is_err() { sleep_until(until.into()).await },
        }
    }
}

struct Link {
    client: Client,
    peer: Name,
    backend: Backend,
    replies: Replies,
}

/// Answers that are awaited from the loop.
#[derive(Default)]
struct Replies {
    import: Option<oneshot::Receiver<Result<Arrived, Failure>>>,
    health: Option<oneshot::Receiver<Result<Vec<u8>, Failure>>>,
    receipts: Option<oneshot::Receiver<Result<Numbered, Failure>>>,
}

/// What came.
enum Came {
    Bytes(std::io::Result<usize>),
    Time,
    Credentials,
    News(News),
    Import(Result<Arrived, Failure>),
    Health(Result<Vec<u8>, Failure>),
    Receipts(Result<Numbered, Failure>),
}

impl Link {
    /// One connection, to its end.
    async fn connection<C: Connect>(
        &mut self,
        connect: &mut C,
        current: &Credentials,
        credentials: &mut watch::Receiver<Arc<Credentials>>,
    ) -> Fault {
        let mut stream = match connect.connect(current).await {
            Ok(stream) => stream,
            Err(fault) => return fault,
        };
        self.client.begin(&current.groups, now());
        match Session::new(current.appliance.as_str(), &self.client.will(), now()) {
            Ok(mut session) => match self.serve(&mut stream, &mut session, credentials).await {
                Ok(never) => match never {},
                Err(fault) => fault,
            },
            Err(fault) => fault,
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        session: &mut Session,
        credentials: &mut watch::Receiver<Arc<Credentials>>,
    ) -> Result<std::convert::Infallible, Fault> {
        let mut news = *self.backend.news.borrow_and_update();
        loop {
            while let Some(work) = self.client.turn(session, now())? {
                self.client.work(work, now()).await;
            }
            self.pass_on().await;
            let output = session.output();
            if !output.is_empty() {
                let writing = async { stream.write_all(&output).await.and(stream.flush().await) };
                let written = timeout(WRITING, writing).await.map_err(|_| Fault::Silent("it takes nothing"))?;
                written.map_err(|error| self.broken(error))?;
            }
            let due = [session.deadline(), self.client.deadline(now())].into_iter().flatten().min();
            match self.wait(stream, session, credentials, due).await {
                Came::Bytes(Ok(0)) => return Err(Fault::Closed),
                Came::Bytes(Ok(_)) => {
                    while session.advance(now())? {
                        while let Some(event) = session.event() {
                            self.client.event(session, event, now())?;
                        }
                    }
                }
                Came::Bytes(Err(error)) => return Err(self.broken(error)),
                Came::Time => session.tick(now())?,
                Came::Credentials => return Err(Fault::Renewed),
                Came::News(newer) => {
                    if newer.round_trip != news.round_trip {
                        session.ping(now())?;
                    }
                    if newer.health != news.health {
                        self.client.health_changed(now());
                    }
                    if newer.receipts != news.receipts {
                        self.client.receipts_changed();
                    }
                    news = newer;
                }
                Came::Import(arrived) => self.imported(arrived),
                Came::Health(report) => self.client.health(report.ok().as_deref(), now()),
                Came::Receipts(receipts) => self.client.receipts(receipts.ok(), now()),
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wait<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        session: &mut Session,
        credentials: &mut watch::Receiver<Arc<Credentials>>,
        due: Option<Instant>,
    ) -> Came {
        let time = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => pending().await,
            }
        };
        let Self { backend, replies, .. } = self;
        let told = async {
            match backend.news.changed().await {
                Ok(()) => *backend.news.borrow_and_update(),
                Err(_) => pending().await,
            }
        };
        let renewed = async {
            if credentials.changed().await.is_err() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            reply = reply(&mut replies.import) => Came::Import(reply),
            reply = reply(&mut replies.health) => Came::Health(reply),
            reply = reply(&mut replies.receipts) => Came::Receipts(reply),
            read = stream.read_buf(session.input()) => Came::Bytes(read),
            () = time => Came::Time,
            () = renewed => Came::Credentials,
            newer = told => Came::News(newer),
        }
    }

    fn imported(&mut self, arrived: Result<Arrived, Failure>) {
        let code = arrived.map_or_else(|failure| failure.code, |arrived| arrived.code);
        tracing::info!(peer = %self.peer, %code, "the bundle was judged");
        self.client.imported(code, now());
    }

    /// Passes on what is asked of the loop. Where nobody listens any more, the process is ending.
    async fn pass_on(&mut self) {
        while let Some(want) = self.client.want() {
            let order = match want {
                Want::Health => Order::Health { reply: ask(&mut self.replies.health) },
                Want::Receipts(after) => Order::Receipts { after, most: BATCH, reply: ask(&mut self.replies.receipts) },
                Want::Delivered(sequence) => Order::Delivered { sequence, peer: self.peer.clone() },
                Want::Import(path) => self.import(path),
                Want::Look => {
                    self.backend.look.notify_one();
                    continue;
                }
                Want::RoundTrip(began) => Order::RoundTrip { peer: self.peer.clone(), began: began.into() },
                Want::Noticed(code) => Order::Noticed { peer: self.peer.clone(), code },
            };
            if self.backend.orders.send(order).await.is_err() {
                return pending().await;
            }
        }
    }

    fn import(&mut self, path: PathBuf) -> Order {
        let reply = ask(&mut self.replies.import);
        Order::Import { bundle: Source::File(path), transport: Transport::Mqtt, reply }
    }

    /// Says why a connection ended.
    async fn told(&mut self, fault: &Fault) {
        if matches!(fault, Fault::Renewed) {
            return;
        }
        let code = fault.code();
        tracing::info!(peer = %self.peer, %code, error = %Failure::of(fault).told(), "no connection with the broker");
        let order = Order::Noticed { peer: self.peer.clone(), code };
        if self.backend.orders.send(order).await.is_err() {
            pending::<()>().await;
        }
    }

    /// A stream that fails may be a broker that refuses our certificate: that shows no earlier.
    fn broken(&self, error: std::io::Error) -> Fault {
        match TlsError::of(&self.peer, error) {
            TlsError::Unreached { source, .. } => Fault::Stream(source),
            error => Fault::Connect { code: error.code(), source: Box::new(error) },
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The place where an answer will be, and the way to it.
fn ask<T>(place: &mut Option<oneshot::Receiver<T>>) -> oneshot::Sender<T> {
    let (sender, receiver) = oneshot::channel();
    *place = Some(receiver);
    sender
}

/// The answer, once it is there; for ever, if none is awaited. A loop that drops the question has failed at it.
async fn reply<T>(place: &mut Option<oneshot::Receiver<Result<T, Failure>>>) -> Result<T, Failure> {
    let Some(receiver) = place else { return pending().await };
    let answer = receiver.await;
    *place = None;
    answer.unwrap_or_else(|_| {
        Err(Failure {
            code: Code::Internal,
            message: "the loop did not answer".into(),
            causes: Vec::new(),
            remedy: Code::Internal.remedy().into(),
        })
    })
}
