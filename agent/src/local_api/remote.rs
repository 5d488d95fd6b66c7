//! The API for whoever shows a certificate.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use casemate_protocol::device::certificate_name::{CertificateKind, CertificateName};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::call::Request;
use super::caller::Caller;
use super::connection::{Backend, connection};
use super::hub::Hub;
use super::places::Places;
use super::refusal::RequestError;
use super::spool::Spool;
use crate::pace::Pace;

/// Bundles received at once.
const UPLOADS: usize = 4;
/// Of them, from publishers: there is always one for an operator.
const PUBLISHERS_UPLOADS: usize = 3;
/// How old health may be that is told to somebody elsewhere.
const RECENT: Duration = Duration::from_secs(1);
/// Requests of one certificate: one every so often in the long run, bytes of one upload counting as one …
const REQUEST_EVERY: Duration = Duration::from_millis(10);
/// … and so many at once.
const REQUEST_BURST: u32 = 200;

/// What every answer goes by before it leaves: its route, whom it is for, its length as far as it is known, and all of
/// it unless it comes piece by piece.
pub type LetOut = fn(route: &str, to: &CertificateName, length: Option<u64>, body: Option<&[u8]>);

/// The same routes as on the local sockets, as far as the certificate opens them. Clones share all limits.
#[derive(Clone, Debug)]
pub struct Remote {
    calls: mpsc::Sender<Request>,
    hub: Hub,
    places: Places,
    shared: Arc<Shared>,
}

/// What only callers from elsewhere share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spool: Spool,
    uploads: Arc<Semaphore>,
    publishers: Arc<Semaphore>,
    /// Certificates a bundle is being received with.
    sending: Arc<Mutex<BTreeSet<CertificateName>>>,
    pace: Mutex<Pace<CertificateName>>,
    pub(super) recent: Recent,
    pub(super) let_out: LetOut,
}

/// The last health report that was told, for [`RECENT`].
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Option<(Instant, Bytes)>>);

impl Recent {
    /// It, if it is recent at `now`.
    pub(super) fn get(&self, now: Instant) -> Option<Bytes> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.as_ref().filter(|(at, _)| now.duration_since(*at) < RECENT).map(|(_, text)| text.clone())
    }

    pub(super) fn keep(&self, text: Bytes, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, text));
    }
}

impl Remote {
    /// Calls go into `calls`, followers hear what is told to `hub`, bundles arrive in `spool`, and answers leave by
    /// way of `let_out`.
    #[must_use]
    pub fn new(calls: mpsc::Sender<Request>, hub: Hub, spool: Spool, let_out: LetOut) -> Self {
        let pace = Pace::new(REQUEST_EVERY, REQUEST_BURST);
        Self::over(calls, hub, Shared::new(spool, pace, let_out))
    }

    /// As [`Self::new`]; each certificate may ask `burst` times at once and then once every `every`.
    #[must_use]
    pub fn with_pace(self, every: Duration, burst: u32) -> Self {
        let shared = Shared::new(self.shared.spool.clone(), Pace::new(every, burst), self.shared.let_out);
        Self::over(self.calls, self.hub, shared)
    }

    fn over(calls: mpsc::Sender<Request>, hub: Hub, shared: Shared) -> Self {
        Self { calls, hub, places: Places::remote(), shared: Arc::new(shared) }
    }

    /// Serves one connection of `name` until it ends.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin, name: CertificateName) {
        let backend = Backend {
            caller: Caller::Remote(Arc::new(name)),
            calls: self.calls.clone(),
            hub: self.hub.clone(),
            places: self.places.clone(),
            remote: Some(self.shared.clone()),
        };
        connection(stream, Arc::new(backend)).await;
    }
}

impl Shared {
    pub(super) fn new(spool: Spool, pace: Pace<CertificateName>, let_out: LetOut) -> Self {
        Self {
            spool,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            publishers: Arc::new(Semaphore::new(PUBLISHERS_UPLOADS)),
            sending: Arc::default(),
            pace: Mutex::new(pace),
            recent: Recent::default(),
            let_out,
        }
    }

    /// Waits until `name` may ask again: an honest client loses a little time, another one gains nothing.
    pub(super) async fn pace(&self, name: &CertificateName) {
        loop {
            let taken = self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(name.clone(), Instant::now());
            match taken {
                Ok(()) => return,
                Err(wait) => sleep(wait).await,
            }
        }
    }

    /// A place to receive a bundle of `name` in.
    pub(super) fn upload(&self, name: &CertificateName) -> Result<Receiving, RequestError> {
        if !self.sending.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            return Err(RequestError::Sending);
        }
        let mut places = Vec::new();
        let receiving = Sole { sending: Arc::clone(&self.sending), name: name.clone() };
        let publishers = (&self.publishers, PUBLISHERS_UPLOADS);
        let of_its_kind = (name.kind != CertificateKind::Operator).then_some(publishers);
        for (free, limit) in of_its_kind.into_iter().chain([(&self.uploads, UPLOADS)]) {
            let place = Arc::clone(free).try_acquire_owned();
            places.push(place.map_err(|_| RequestError::Places { what: "uploads", limit })?);
        }
        Ok(Receiving { _sole: receiving, _places: places })
    }
}

/// A bundle is being received; others may be once this is dropped.
#[derive(Debug)]
pub(super) struct Receiving {
    _sole: Sole,
    _places: Vec<OwnedSemaphorePermit>,
}

/// No other bundle is received with the same certificate.
#[derive(Debug)]
struct Sole {
    sending: Arc<Mutex<BTreeSet<CertificateName>>>,
    name: CertificateName,
}

impl Drop for Sole {
    fn drop(&mut self) {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests;
