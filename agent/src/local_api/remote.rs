//! The API for whoever shows a certificate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use casemate_protocol::device::certificate_name::CertificateName;
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
/// How old health may be that is told to somebody elsewhere.
const RECENT: Duration = Duration::from_secs(1);
/// Requests of one certificate: one every so often in the long run, bytes of one upload counting as one …
const REQUEST_EVERY: Duration = Duration::from_millis(10);
/// … and so many at once.
const REQUEST_BURST: u32 = 200;

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
    pace: Mutex<Pace<CertificateName>>,
    pub(super) recent: Recent,
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
    /// Calls go into `calls`, followers hear what is told to `hub`, and bundles arrive in `spool`.
    #[must_use]
    pub fn new(calls: mpsc::Sender<Request>, hub: Hub, spool: Spool) -> Self {
        Self::with_pace(calls, hub, spool, REQUEST_EVERY, REQUEST_BURST)
    }

    /// As [`Self::new`]; each certificate may ask `burst` times at once and then once every `every`.
    #[must_use]
    pub fn with_pace(calls: mpsc::Sender<Request>, hub: Hub, spool: Spool, every: Duration, burst: u32) -> Self {
        let pace = Mutex::new(Pace::new(every, burst));
        let shared =
            Arc::new(Shared { spool, uploads: Arc::new(Semaphore::new(UPLOADS)), pace, recent: Recent::default() });
        Self { calls, hub, places: Places::remote(), shared }
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

    /// A place to receive a bundle in.
    pub(super) fn upload(&self) -> Result<OwnedSemaphorePermit, RequestError> {
        let place = Arc::clone(&self.uploads).try_acquire_owned();
        place.map_err(|_| RequestError::Places { what: "uploads", limit: UPLOADS })
    }
}

#[cfg(test)]
mod tests;
