//! Looks at a repository again and again, for as long as the boundary names it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::boundary::Peer;
use casemate_protocol::code::{Code, Explain};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::error::PullError;
use super::memory::Memory;
use super::route::Route;
use super::schedule::Schedule;
use super::visit::Visit;
use crate::exit::Failure;
use crate::transport::backend::Backend;
use crate::transport::tls::Credentials;

/// Looks in a row that a bad part may cause: each goes on without one more.
const BAD_PARTS: usize = 8;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The head of an answer; and 4 KiB of a body, or its rest.
    pub idle: Duration,
    /// A part that broke off, until it goes on. The reader waits ten minutes.
    pub resume: Duration,
    /// Before a part that broke off is asked for again; doubles to half a minute.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), resume: Duration::from_secs(300), pause: Duration::from_secs(1) }
    }
}

/// Pulls from `peer` until it is cancelled.
pub async fn run(peer: Peer, backend: Backend, credentials: watch::Receiver<Arc<Credentials>>) {
    run_within(peer, backend, credentials, Limits::default()).await;
}

/// [`run`] with other limits.
pub async fn run_within(
    peer: Peer,
    backend: Backend,
    mut credentials: watch::Receiver<Arc<Credentials>>,
    limits: Limits,
) {
    if let Err(error) = clear(&backend.spool) {
        tracing::warn!(peer = %peer.id, %error, "the spool cannot be emptied");
    }
    let mut news = backend.news.clone();
    let mut route = Route::new(peer, backend.clone(), credentials.clone(), limits);
    let mut memory = Memory::default();
    let mut schedule = Schedule::new();
    let mut said = None;
    loop {
        credentials.mark_unchanged();
        let awaited = news.borrow_and_update().round_trip;
        let mut visit = Visit { route: &mut route, backend: &backend, memory: &mut memory };
        let outcome = look(&mut visit).await;
        route.close();
        report(&route, &outcome, &mut said).await;
        // A bad part stays bad for a while: asked for too often it would only be traffic.
        schedule = schedule.after(matches!(&outcome, Ok(()) | Err(PullError::BadContent { .. })));
        let looked = Instant::now();
        loop {
            let poll_seconds = credentials.borrow_and_update().settings.poll_seconds;
            tokio::select! {
                () = sleep_until(looked + schedule.pause(poll_seconds)) => break,
                () = backend.look.notified() => break,
                changed = credentials.changed() => if changed.is_err() { return },
                changed = news.wait_for(|news| news.round_trip != awaited) => match changed {
                    Ok(_) => break,
                    Err(_) => return,
                },
            }
        }
    }
}

/// One look; after a bad part, another at once without it, so that it holds up nothing else.
async fn look(visit: &mut Visit<'_>) -> Result<(), PullError> {
    for _ in 0..BAD_PARTS {
        let suspects = visit.memory.suspects.len();
        match visit.look().await {
            Err(error) if error.is_about_one_file() && visit.memory.suspects.len() > suspects => {}
            other => return other,
        }
    }
    visit.look().await
}

/// Says what a look came to; in the log once, until it comes to something else.
async fn report(route: &Route, outcome: &Result<(), PullError>, said: &mut Option<Code>) {
    if let Err(error) = outcome
        && error.is_the_peers()
    {
        // Each time: until a request is answered the peer counts as down.
        route.notice(error.code()).await;
    }
    let code = outcome.as_ref().err().map(Explain::code);
    if code == *said {
        return;
    }
    *said = code;
    let peer = &route.peer().id;
    match outcome {
        Ok(()) => tracing::info!(peer = %peer, "the repository is reached"),
        Err(error) => {
            let told = Failure::of(error).told();
            tracing::warn!(peer = %peer, code = %error.code(), error = told, "the repository was not read");
        }
    }
}

/// Takes away what an earlier process left.
fn clear(spool: &Path) -> std::io::Result<()> {
    fs::read_dir(spool)?.try_for_each(|entry| fs::remove_file(entry?.path()))
}
