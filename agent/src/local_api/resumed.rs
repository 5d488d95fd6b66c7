//! Bundles from elsewhere: received whole before anything is imported, so that a slow sender holds up nobody, and gone
//! on with where they broke off.

use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::code::Class;
use casemate_protocol::device::certificate_name::CertificateName;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::body;
use super::call::{Call, ImportSource};
use super::caller::Caller;
use super::connection::Backend;
use super::discretion;
use super::order;
use super::refusal::{Refusal, RequestError};
use super::remote::{Receiving, Shared};
use super::reply;
use super::router::Found;
use super::spool::{SpoolError, Unfinished};

/// Where an upload goes on.
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// How long it is.
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// A body of which fewer than [`PACE`] bytes come in so long has been left, or is meant to take a place.
const PATIENCE: Duration = Duration::from_secs(30);
/// As slow as pull puts up with, bytes.
const PACE: usize = 4096;
/// Bytes written at once.
const BATCH: usize = 256 << 10;

/// `HEAD /v1/uploads/{digest}`.
pub(super) fn offset(backend: &Backend, found: &Found) -> Result<Response<body::Body>, Refusal> {
    let (shared, whose) = remote(backend)?;
    let known = shared.spool.offset(whose, &digest(found)?).map_err(SpoolError::from)?;
    let mut response = reply::empty(StatusCode::OK);
    response.headers_mut().insert(OFFSET, HeaderValue::from(known.map_or(0, |(offset, _)| offset)));
    if let Some((_, length)) = known {
        response.headers_mut().insert(LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

/// `PATCH /v1/uploads/{digest}`.
pub(super) async fn append(
    backend: &Arc<Backend>,
    found: &Found,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Response<body::Body>, Refusal> {
    let (shared, whose) = remote(backend)?;
    let digest = digest(found)?;
    order::bytes(found, headers)?;
    let (offset, length) = (number(headers, &OFFSET)?, number(headers, &LENGTH)?);
    let place = shared.upload(whose)?;
    let upload = shared.spool.resume(whose, &digest, offset, length)?;
    let (upload, ended) = receive(upload, body).await?;
    if !upload.is_whole() {
        ended?;
        let mut response = reply::empty(StatusCode::NO_CONTENT);
        response.headers_mut().insert(OFFSET, HeaderValue::from(upload.received()));
        return Ok(response);
    }
    finish(backend, upload, false, false, place).await
}

/// `POST /v1/bundles` with the bundle as its body.
pub(super) async fn whole(
    backend: &Arc<Backend>,
    body: Incoming,
    wait: bool,
    dry_run: bool,
) -> Result<Response<body::Body>, Refusal> {
    let (shared, whose) = remote(backend)?;
    let place = shared.upload(whose)?;
    let upload = shared.spool.post(whose, body.size_hint().exact().unwrap_or(u64::MAX))?;
    let (upload, ended) = receive(upload, body).await?;
    ended?;
    finish(backend, upload, wait, dry_run, place).await
}

fn remote(backend: &Backend) -> Result<(&Arc<Shared>, &CertificateName), RequestError> {
    match (&backend.remote, &backend.caller) {
        (Some(shared), Caller::Remote(name)) => Ok((shared, name)),
        _ => Err(RequestError::Stopping),
    }
}

fn digest(found: &Found) -> Result<Digest, RequestError> {
    let text = found.parameter("digest");
    text.parse().map_err(|_| RequestError::Nothing { what: "upload", value: text.chars().take(80).collect() })
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, RequestError> {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wrong = || RequestError::Parameter { name: name.to_string(), value: text.chars().take(80).collect() };
    order::digits(text).filter(|number| *number < u64::MAX).ok_or_else(wrong)
}

/// Moves the body onto the disk, and how it ended. What came before it broke off is kept.
async fn receive<B>(mut upload: Unfinished, mut body: B) -> Result<(Unfinished, Result<(), RequestError>), Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut batch, mut moved, mut due) = (Vec::new(), 0, Instant::now() + PATIENCE);
    loop {
        let frame = timeout_at(due, body.frame()).await;
        let ended = match frame {
            Ok(Some(Ok(frame))) => {
                let bytes: &[u8] = frame.data_ref().map_or(&[], |bytes| bytes);
                batch.extend_from_slice(bytes);
                moved += bytes.len();
                None
            }
            Ok(None) => Some(Ok(())),
            Ok(Some(Err(_))) => Some(Err(RequestError::Broken)),
            Err(_) => Some(Err(RequestError::Silent)),
        };
        if batch.len() >= BATCH || ended.is_some() {
            // A disk may be slow; the loop serves others meanwhile.
            let written = tokio::task::spawn_blocking(move || {
                let written = upload.append(&batch);
                batch.clear();
                (upload, batch, written)
            });
            let written = written.await.map_err(|_| RequestError::Stopping)?;
            (upload, batch) = (written.0, written.1);
            written.2?;
        }
        if let Some(ended) = ended {
            return Ok((upload, ended));
        }
        if moved >= PACE {
            (moved, due) = (0, Instant::now() + PATIENCE);
        }
    }
}

/// Checks and imports what is whole. Goes on when whoever sent it has left.
async fn finish(
    backend: &Arc<Backend>,
    upload: Unfinished,
    wait: bool,
    dry_run: bool,
    place: Receiving,
) -> Result<Response<body::Body>, Refusal> {
    let (backend, kind) = (backend.clone(), remote(backend)?.1.kind);
    let imported = tokio::spawn(async move {
        let check = tokio::task::spawn_blocking(move || upload.check().map(|()| upload));
        let upload = check.await.map_err(|_| RequestError::Stopping)??;
        // Whoever waits for an import receives nothing: others may send meanwhile.
        drop(place);
        let source = ImportSource::Path(upload.path().to_owned());
        let answer = backend.queue(Call::Import { source, transport: Transport::Push, wait, dry_run }).await;
        // What the environment refused may be asked again: PATCH at the end, without a byte.
        if !matches!(&answer, Err(refusal) if refusal.failure.code.class() == Class::Environment) {
            upload.remove();
        }
        answer
    });
    let mut report = imported.await.unwrap_or_else(|_| Err(RequestError::Stopping.into()))?;
    discretion::import(&mut report, kind);
    Ok(reply::document(&report))
}

#[cfg(test)]
mod tests;
