//! One connection: requests in, replies out, until the peer leaves or says nothing for too long.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::device::id::Owner;
use casemate_protocol::evidence::receipt::Transport;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::answer::FilePlace;
use super::body::Body;
use super::call::{Call, Request};
use super::caller::Caller;
use super::follow::Feed;
use super::hub::Hub;
use super::patience::Patient;
use super::places::Places;
use super::refusal::{Refusal, RequestError};
use super::remote::Shared;
use super::router::{self, Found};
use super::routes::Endpoint;
use super::{discretion, file, openapi, order, reply, resumed, upload};

/// A connection on which no request comes for so long is closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Most that is buffered of a request's head, bytes. A longer one is answered with 431.
const MAX_HEAD: usize = 32 * 1024;

/// What stands behind a connection.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) caller: Caller,
    pub(super) calls: mpsc::Sender<Request>,
    pub(super) hub: Hub,
    pub(super) places: Places,
    /// What only callers from elsewhere need.
    pub(super) remote: Option<Arc<Shared>>,
}

pub(super) async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, backend: Arc<Backend>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let backend = backend.clone();
        async move { Ok::<_, Infallible>(backend.reply(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Patient::new(stream)), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke off");
    }
}

impl Backend {
    /// The answer or why not, let out if it leaves the appliance.
    async fn reply(self: &Arc<Self>, request: hyper::Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if let (Caller::Remote(name), Some(remote)) = (&self.caller, &self.remote) {
            remote.pace(name).await;
        }
        let (route, answer) = match router::find(&self.caller, &head.method, head.uri.path()) {
            Ok(found) => (found.route.template, self.answer(&found, head, body).await),
            Err(error) => ("-", Err(error.into())),
        };
        let (Caller::Remote(name), Some(remote)) = (&self.caller, &self.remote) else {
            return answer.unwrap_or_else(|refusal| reply::refuse(&refusal));
        };
        let reply = answer.unwrap_or_else(|mut refusal| {
            discretion::failure(&mut refusal.failure);
            reply::refuse(&refusal)
        });
        (remote.let_out)(route, name, reply.body().size_hint().exact(), reply.body().at_hand());
        reply
    }

    async fn answer(self: &Arc<Self>, found: &Found, head: Parts, body: Incoming) -> Result<Response<Body>, Refusal> {
        match found.route.endpoint {
            Endpoint::Health => self.health().await,
            Endpoint::Status => self.document(Call::Status).await,
            Endpoint::Tree => self.owners(Call::Tree).await,
            Endpoint::Diff => self.owners(Call::Diff).await,
            Endpoint::Boundary => self.document(Call::Boundary { drops: self.caller.sees_drops() }).await,
            Endpoint::Receipts => self.document(Call::Receipts).await,
            Endpoint::OpenApi => Ok(reply::text(openapi::DOCUMENT)),
            Endpoint::File => self.file(found, &head).await,
            Endpoint::Events => self.events(&head.method, &head.uri, &head.headers),
            Endpoint::Receipt => self.document(Call::Receipt { sequence: number(found)? }).await,
            Endpoint::Taken => {
                order::nothing(body).await?;
                self.ask(Call::ReceiptTaken { sequence: number(found)?, by: self.caller.certificate().cloned() })
                    .await?;
                Ok(reply::empty(StatusCode::NO_CONTENT))
            }
            Endpoint::EnrolRequest => {
                order::nothing(body).await?;
                self.document(Call::EnrolRequest).await
            }
            Endpoint::EnrolGrant => {
                let grant = order::document(found, &head.headers, body).await?.to_vec();
                self.document(Call::EnrolGrant { grant }).await
            }
            Endpoint::EnrolWords => {
                let order::Words { words } = order::read(found, &head.headers, body).await?;
                self.document(Call::EnrolWords { words }).await
            }
            Endpoint::Report => {
                let consumer = found.parameter("consumer");
                let nobody = |_| RequestError::Nothing { what: "consumer", value: consumer.into() };
                let consumer = consumer.parse().map_err(nobody)?;
                let report = order::read(found, &head.headers, body).await?;
                self.document(Call::Report { consumer, report }).await
            }
            Endpoint::Bundles => self.bundles(found, &head.uri, &head.headers, body).await,
            Endpoint::UploadOffset => resumed::offset(self, found),
            Endpoint::Upload => resumed::append(self, found, &head.headers, body).await,
        }
    }

    /// Health; to somebody elsewhere, who may ask much and from whom the loop is to have its peace, as of a moment ago.
    async fn health(self: &Arc<Self>) -> Result<Response<Body>, Refusal> {
        let Some(shared) = &self.remote else { return self.document(Call::Health).await };
        if let Some(text) = shared.recent.get(Instant::now()) {
            return Ok(reply::recent(text));
        }
        let text = Bytes::from(self.ask(Call::Health).await?.to_string() + "\n");
        shared.recent.keep(text.clone(), Instant::now());
        Ok(reply::recent(text))
    }

    async fn bundles(
        self: &Arc<Self>,
        found: &Found,
        uri: &Uri,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Body>, Refusal> {
        match (order::import(&self.caller, found, uri, headers, body).await?, &self.remote) {
            (order::Import::Order(call), _) => self.import(call).await,
            (order::Import::Stream { body, wait, dry_run }, None) => {
                let transport = Transport::Local;
                upload::run(body, |source| self.import(Call::Import { source, transport, wait, dry_run })).await
            }
            (order::Import::Stream { body, wait, dry_run }, Some(_)) => resumed::whole(self, body, wait, dry_run).await,
        }
    }

    /// Asks and answers with the document that comes back.
    async fn document(self: &Arc<Self>, call: Call) -> Result<Response<Body>, Refusal> {
        Ok(reply::document(&self.ask(call).await?))
    }

    /// As [`Self::document`]; an import takes no call's place, or those that wait would keep all others out.
    async fn import(&self, call: Call) -> Result<Response<Body>, Refusal> {
        Ok(reply::document(&self.queue(call).await?))
    }

    /// As [`Self::document`]; to somebody elsewhere, of groups alone.
    async fn owners(self: &Arc<Self>, call: Call) -> Result<Response<Body>, Refusal> {
        let mut document = self.ask(call).await?;
        if self.remote.is_some() {
            discretion::groups(&mut document["owners"]);
        }
        Ok(reply::document(&document))
    }

    async fn ask(self: &Arc<Self>, call: Call) -> Result<Value, Refusal> {
        let place = self.places.call().await.ok_or(RequestError::Stopping)?;
        let backend = Arc::clone(self);
        // On its own: whoever leaves before the answer keeps his place until it is there. Otherwise asking and leaving,
        // over and over, would put call after call in front of everybody else's.
        let asked = tokio::spawn(async move {
            let answer = backend.queue(call).await;
            drop(place);
            answer
        });
        asked.await.unwrap_or_else(|_| Err(RequestError::Stopping.into()))
    }

    pub(super) async fn queue(&self, call: Call) -> Result<Value, Refusal> {
        let (reply, answered) = oneshot::channel();
        self.calls.try_send(Request { call, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Overload,
            mpsc::error::TrySendError::Closed(_) => RequestError::Stopping,
        })?;
        Ok(answered.await.map_err(|_| RequestError::Stopping)??)
    }

    async fn file(self: &Arc<Self>, found: &Found, head: &Parts) -> Result<Response<Body>, Refusal> {
        let nothing = |what, value: &str| RequestError::Nothing { what, value: value.into() };
        let (kind, id, path) = (found.parameter("owners"), found.parameter("id"), found.parameter("path"));
        let name = id.parse().map_err(|_| nothing("owner", id))?;
        let owner = match kind {
            "groups" => Owner::Group(name),
            "tenants" => Owner::Tenant(name),
            _ => return Err(nothing("kind of owner", kind).into()),
        };
        if self.remote.is_some() && matches!(owner, Owner::Tenant(_)) {
            let path = head.uri.path().chars().take(200).collect();
            return Err(RequestError::Caller { caller: self.caller.clone(), path }.into());
        }
        let path = path.parse().map_err(|_| nothing("file", path))?;
        let place = self.places.reader()?;
        let answer = self.ask(Call::File { owner, path }).await?;
        let shape = |source: serde_json::Error| RequestError::Failed { action: "find the file", source: source.into() };
        let target: FilePlace = serde_json::from_value(answer).map_err(shape)?;
        Ok(file::reply(target, &head.headers, place).await?)
    }

    fn events(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
        let after = order::after(uri, headers)?;
        if method == Method::HEAD {
            return Ok(reply::events(Body::empty()));
        }
        let place = self.places.follower()?;
        Ok(reply::events(Body::events(Feed::new(self.hub.follow(after)), place)))
    }
}

fn number(found: &Found) -> Result<u64, RequestError> {
    let text = found.parameter("number");
    order::digits(text).ok_or_else(|| RequestError::Nothing { what: "receipt", value: text.into() })
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::config::Role;

    #[test]
    fn whoever_asks_and_leaves_over_and_over_has_no_more_calls_waiting_than_places() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (calls, mut queue) = mpsc::channel(64);
            let role = Role::Monitor;
            let (caller, places) = (Caller::Local(role), Places::new(role));
            let backend = Arc::new(Backend { caller, calls, hub: Hub::new(0), places, remote: None });
            for _ in 0..32 {
                let (mut peer, stream) = UnixStream::pair().unwrap();
                peer.write_all(b"GET /v1/health HTTP/1.1\r\nHost: agent\r\n\r\n").await.unwrap();
                let served = tokio::spawn(connection(stream, backend.clone()));
                // Asked by then, or waiting for a place.
                for _ in 0..64 {
                    tokio::task::yield_now().await;
                }
                drop(peer);
                served.await.unwrap();
            }
            // Every task has had its turn by then.
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            let mut waiting = Vec::new();
            while let Ok(request) = queue.try_recv() {
                waiting.push(request);
            }
            assert_eq!(waiting.len(), 4);
            // An answer nobody waits for any more frees the place.
            for Request { reply, .. } in waiting {
                let _left = reply.send(Ok(Value::Null));
            }
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            assert!(backend.places.call().await.is_some());
        });
    }
}
