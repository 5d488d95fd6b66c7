//! The way to one repository: connects when there is something to ask, and goes on where a connection broke.

use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::boundary::Peer;
use casemate_protocol::bundle::appraisal::Piece;
use casemate_protocol::bundle::archive::{MemberKind, Writer};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Hasher;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Limits;
use super::ask::{Ask, Body};
use super::error::PullError;
use super::line::{Answer, Line};
use super::sink::{Gone, Sink};
use crate::transport::backend::{Backend, Order};
use crate::transport::tls::Credentials;

/// Longest pause before a part is asked for again.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How a part's way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poured {
    /// All of it has passed, and is what was signed.
    Whole,
    /// Nobody takes it any more.
    Unwanted,
}

/// How a part's way ended badly.
#[derive(Debug)]
pub(super) struct Spill {
    /// Why.
    pub(super) error: PullError,
    /// Some of it has passed already.
    pub(super) begun: bool,
}

/// The way to one repository.
pub(super) struct Route {
    peer: Peer,
    backend: Backend,
    credentials: watch::Receiver<Arc<Credentials>>,
    limits: Limits,
    line: Option<Line>,
    told: bool,
}

impl Route {
    pub(super) fn new(
        peer: Peer,
        backend: Backend,
        credentials: watch::Receiver<Arc<Credentials>>,
        limits: Limits,
    ) -> Self {
        Self { peer, backend, credentials, limits, line: None, told: false }
    }

    /// Whom it leads to.
    pub(super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Hangs up. The next question makes a connection of its own, with what is signed then.
    pub(super) fn close(&mut self) {
        self.line = None;
        self.told = false;
    }

    /// Has something of the peer remembered.
    pub(super) async fn notice(&self, code: Code) {
        // An agent that stops needs to remember nothing.
        let _ = self.backend.orders.send(Order::Noticed { peer: self.peer.id.clone(), code }).await;
    }

    /// The file that `ask` names, whole; `None` if there is no such file.
    pub(super) async fn whole(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, PullError> {
        let (line, mut answer) = self.ask(ask, 0).await?;
        let mut raw = Vec::new();
        while let Some(bytes) = answer.next(&self.peer).await? {
            raw.extend_from_slice(&bytes);
        }
        self.answered(line, answer.began).await;
        Ok((answer.body != Body::None).then_some(raw))
    }

    /// Moves a part into `sink` as an archive's member, and goes on at the same byte if the connection breaks. The sink
    /// sees nothing unless the repository has such a file of such a length.
    pub(super) async fn pour(&mut self, piece: &Piece, sink: &mut Sink) -> Result<Poured, Spill> {
        let ask = Ask::piece(piece);
        let mut run = Run { hasher: Hasher::new(), have: 0, begun: false };
        let (mut pauses, mut since, mut before) = (0, Instant::now(), 0);
        loop {
            let error = match self.pour_once(&ask, piece, sink, &mut run).await {
                Ok(Poured::Unwanted) => return Ok(Poured::Unwanted),
                Ok(Poured::Whole) => break,
                Err(error) => error,
            };
            if run.have > before {
                (pauses, since, before) = (0, Instant::now(), run.have);
            }
            if !error.may_resume() || since.elapsed() >= self.limits.resume {
                return Err(Spill { error, begun: run.begun });
            }
            tracing::info!(peer = %self.peer.id, bytes = run.have, code = %error.code(), "a part broke off and is resumed");
            sleep(MAX_PAUSE.min(self.limits.pause * (1 << pauses.min(10)))).await;
            pauses += 1;
        }
        let found = run.hasher.finish();
        if sink.pad(piece.length).await == Err(Gone) {
            return Ok(Poured::Unwanted);
        }
        if found == piece.digest {
            return Ok(Poured::Whole);
        }
        let error = PullError::BadContent { target: piece.target.clone(), expected: piece.digest, found };
        Err(Spill { error, begun: true })
    }

    async fn pour_once(
        &mut self,
        ask: &Ask,
        piece: &Piece,
        sink: &mut Sink,
        run: &mut Run,
    ) -> Result<Poured, PullError> {
        let (line, mut answer) = self.ask(ask, run.have).await?;
        let mut over = match answer.body {
            Body::None => return Err(PullError::Absent { what: piece.target.clone() }),
            Body::Rest => 0,
            Body::Whole { before } => before,
        };
        if !run.begun {
            let kind = MemberKind::Object { digest: piece.digest };
            let header = Writer::header(&kind, piece.length);
            let header = header.map_err(|_| PullError::Empty { what: piece.target.clone() })?;
            if sink.write(&header).await == Err(Gone) {
                return Ok(Poured::Unwanted);
            }
            run.begun = true;
        }
        while let Some(bytes) = answer.next(&self.peer).await? {
            // A repository that cannot resume sends it all again.
            let passed = bytes.len().min(usize::try_from(over).unwrap_or(usize::MAX));
            over -= passed as u64;
            let bytes = &bytes[passed..];
            run.hasher.update(bytes);
            let waiting = Instant::now();
            if sink.write(bytes).await == Err(Gone) {
                return Ok(Poured::Unwanted);
            }
            answer.excuse(waiting.elapsed());
            run.have += bytes.len() as u64;
        }
        if run.have != piece.length {
            return Err(PullError::Length { path: ask.path.clone(), expected: piece.length, found: run.have });
        }
        self.answered(line, answer.began).await;
        Ok(Poured::Whole)
    }

    async fn ask(&mut self, ask: &Ask, from: u64) -> Result<(Line, Answer), PullError> {
        if let Some(line) = self.line.take().filter(Line::is_open) {
            match self.ask_over(line, ask, from).await {
                // It may have been closed in the very moment it was used again.
                Err(PullError::Broken(_)) => {}
                other => return other,
            }
        }
        let credentials = self.credentials.borrow().clone();
        let line = Line::open(&self.backend.door, &self.peer, credentials, self.limits.idle).await?;
        self.ask_over(line, ask, from).await
    }

    async fn ask_over(&mut self, mut line: Line, ask: &Ask, from: u64) -> Result<(Line, Answer), PullError> {
        let (notice, answer) = line.ask(ask, from).await;
        if let Some(code) = notice {
            self.notice(code).await;
        }
        answer.map(|answer| (line, answer))
    }

    /// A request was answered whole: the connection may be used again, and the control plane was reached.
    async fn answered(&mut self, line: Line, began: Instant) {
        self.line = Some(line);
        if !self.told {
            self.told = true;
            let _ = self.backend.orders.send(Order::RoundTrip { peer: self.peer.id.clone(), began }).await;
        }
    }
}

/// How far a part is.
struct Run {
    hasher: Hasher,
    have: u64,
    begun: bool,
}
