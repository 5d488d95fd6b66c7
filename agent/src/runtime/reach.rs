//! Peers that a boundary on trial has to reach.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use casemate_engine::boundary::Event;
use casemate_protocol::boundary::PeerProtocol;
use casemate_protocol::device::id::Name;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::error::RuntimeError;
use super::store_thread::Desk;
use crate::boundary::connect::Door;
use crate::transport::tls::{self, Credentials, TlsError};

/// Pause after the first attempts; it doubles from round to round.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Attempts to reach peers, all of a round at once, with longer and longer pauses. At rest where nobody is to be reached.
pub(super) struct Reach {
    door: Door,
    desk: Desk,
    wanted: BTreeSet<Name>,
    credentials: watch::Receiver<Option<Arc<Credentials>>>,
    attempts: JoinSet<(Name, Result<(), TlsError>)>,
    pause: Duration,
    next: Option<Instant>,
}

impl Reach {
    pub(super) fn new(door: Door, desk: Desk, credentials: watch::Receiver<Option<Arc<Credentials>>>) -> Self {
        let attempts = JoinSet::new();
        Self { door, desk, wanted: BTreeSet::new(), credentials, attempts, pause: FIRST_PAUSE, next: None }
    }

    /// When the next round begins by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.filter(|_| self.attempts.is_empty())
    }

    /// Begins a round for `wanted`, if one is due, or at once if `now`; then it is waited for.
    pub(super) async fn go(&mut self, wanted: BTreeSet<Name>, now: bool) -> Result<(), RuntimeError> {
        if !wanted.is_subset(&self.wanted) {
            // Another trial: what was waited for before says nothing about it.
            self.attempts.abort_all();
            self.attempts = JoinSet::new();
            (self.pause, self.next) = (FIRST_PAUSE, Some(Instant::now()));
        }
        self.wanted = wanted;
        if self.wanted.is_empty() {
            self.next = None;
            return Ok(());
        }
        let is_due = self.next.is_none_or(|next| next <= Instant::now());
        if self.attempts.is_empty() && (now || is_due) {
            for peer in self.wanted.clone() {
                let (door, credentials) = (self.door.clone(), self.credentials.borrow().clone());
                self.attempts.spawn(async move {
                    let reached = reach(&door, &peer, credentials.as_deref()).await;
                    (peer, reached)
                });
            }
            self.next = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        while now && !self.attempts.is_empty() {
            self.answered().await?;
        }
        Ok(())
    }

    /// The next attempt's end, told to the state. Never, where none is under way.
    pub(super) async fn answered(&mut self) -> Result<(), RuntimeError> {
        match self.attempts.join_next().await {
            None => std::future::pending().await,
            Some(Ok((peer, Ok(())))) => {
                tracing::info!(%peer, "a peer of the boundary on trial was reached");
                let outcome = self.desk.ask(move |keeper| keeper.boundary_event(&Event::Reached { peer })).await?;
                if let Err(failure) = outcome {
                    tracing::error!(code = %failure.code, "that a peer was reached cannot be recorded now");
                }
            }
            Some(Ok((peer, Err(error)))) => tracing::debug!(%peer, %error, "a peer was not reached"),
            // Given up with the trial it was for.
            Some(Err(_)) => {}
        }
        Ok(())
    }
}

/// Reaches `peer`: whoever answers has to hold a key the boundary pins. An appliance without a certificate cannot be let
/// in anywhere; there it counts that somebody accepts the connection.
async fn reach(door: &Door, peer: &Name, credentials: Option<&Credentials>) -> Result<(), TlsError> {
    let policy = door.policy();
    let known = policy.peers.iter().find(|known| known.id == *peer);
    if let (Some(credentials), Some(known)) = (credentials, known) {
        let alpn: &[u8] = match known.protocol {
            PeerProtocol::Https => b"http/1.1",
            PeerProtocol::Mqtts => b"mqtt",
        };
        return tls::connect(door, known, credentials, alpn).await.map(drop);
    }
    let connected = door.peer(peer).await;
    connected.map(drop).map_err(|source| TlsError::Unreached { peer: peer.clone(), source })
}
