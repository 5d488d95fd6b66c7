//! What a request brings: its query, its headers, its body.

use std::path::PathBuf;
use std::time::Duration;

use casemate_protocol::evidence::receipt::Transport;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Uri;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::call::{Call, ImportSource};
use super::caller::Caller;
use super::refusal::{MAX_BODY, MAX_REPORT, RequestError};
use super::router::{Found, decoded};
use super::routes::{BUNDLE, BYTES, Endpoint, JSON};

/// A document that is not there after so long is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A header with this name is what browsers resume events with.
const LAST_EVENT_ID: &str = "last-event-id";

/// `POST /v1/enrolment/words`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    pub(super) words: String,
}

/// `POST /v1/bundles` with a path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportOrder {
    path: PathBuf,
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    dry_run: bool,
}

/// What is to be imported.
#[derive(Debug)]
pub(super) enum Import {
    /// What stands at a path.
    Order(Call),
    /// The body.
    Stream {
        /// The bundle.
        body: Incoming,
        /// As in [`Call::Import`].
        wait: bool,
        /// As in [`Call::Import`].
        dry_run: bool,
    },
}

/// A whole number as written in a path, a query or a header: digits alone.
pub(super) fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The body as bytes, of a media type the route takes.
pub(super) async fn document(found: &Found, headers: &HeaderMap, body: Incoming) -> Result<Bytes, RequestError> {
    match media(headers) {
        Some(JSON) => whole(body, longest(found.route.endpoint)).await,
        other => Err(unsupported(found, other)),
    }
}

/// Longest document a route reads. A consumer's is short: many at once, sent slowly, must not add up.
const fn longest(endpoint: Endpoint) -> usize {
    match endpoint {
        Endpoint::Report => MAX_REPORT,
        _ => MAX_BODY,
    }
}

/// The body as the route's document.
pub(super) async fn read<T: DeserializeOwned>(
    found: &Found,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<T, RequestError> {
    let bytes = document(found, headers, body).await?;
    serde_json::from_slice(&bytes).map_err(|source| RequestError::Body { path: found.route.template, source })
}

/// Makes sure that there is no body: a client that sends one means something else.
pub(super) async fn nothing(body: Incoming) -> Result<(), RequestError> {
    whole(body, 0).await.map(drop)
}

/// An import, by path or as a stream. A path is only for somebody on this machine.
pub(super) async fn import(
    caller: &Caller,
    found: &Found,
    uri: &Uri,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Import, RequestError> {
    match media(headers) {
        Some(JSON) if matches!(caller, Caller::Local(_)) => {
            query(uri, &[])?;
            let ImportOrder { path, wait, dry_run } = read(found, headers, body).await?;
            if !path.is_absolute() {
                return Err(RequestError::Relative(path));
            }
            Ok(Import::Order(Call::Import {
                source: ImportSource::Path(path),
                transport: Transport::Local,
                wait,
                dry_run,
            }))
        }
        Some(BUNDLE) => {
            let given = query(uri, &["wait", "dry_run"])?;
            Ok(Import::Stream { body, wait: flag(&given, "wait")?, dry_run: flag(&given, "dry_run")? })
        }
        other => Err(unsupported(found, other)),
    }
}

/// Makes sure that the body is plain bytes.
pub(super) fn bytes(found: &Found, headers: &HeaderMap) -> Result<(), RequestError> {
    match media(headers) {
        Some(BYTES) => Ok(()),
        other => Err(unsupported(found, other)),
    }
}

/// After which sequence a follower begins: the header of one that comes back counts before the query it began with.
pub(super) fn after(uri: &Uri, headers: &HeaderMap) -> Result<Option<u64>, RequestError> {
    let given = query(uri, &["after"])?;
    let header = headers.get(LAST_EVENT_ID).map(|value| ("Last-Event-ID", value.to_str().unwrap_or("?")));
    let asked = header.or_else(|| given.iter().find(|(name, _)| name == "after").map(|(_, value)| ("after", &**value)));
    let Some((name, value)) = asked else { return Ok(None) };
    digits(value).map(Some).ok_or_else(|| parameter(name, value))
}

fn parameter(name: &str, value: &str) -> RequestError {
    let excerpt = |text: &str| text.chars().take(80).collect();
    RequestError::Parameter { name: excerpt(name), value: excerpt(value) }
}

/// The query's pairs, each name known and given once.
fn query(uri: &Uri, known: &[&str]) -> Result<Vec<(String, String)>, RequestError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else { return Err(parameter(name, value)) };
        if !known.contains(&&*name) || pairs.iter().any(|(earlier, _)| *earlier == name) {
            return Err(parameter(&name, &value));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn flag(pairs: &[(String, String)], name: &str) -> Result<bool, RequestError> {
    match pairs.iter().find(|(known, _)| known == name).map(|(_, value)| &**value) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(parameter(name, other)),
    }
}

/// The body's media type without its parameters.
fn media(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

fn unsupported(found: &Found, media: Option<&str>) -> RequestError {
    RequestError::Media {
        found: media.map_or_else(|| "of no stated type".into(), |media| media.chars().take(80).collect()),
        wanted: found.route.bodies.iter().map(|content| content.media).collect(),
    }
}

/// The whole body, of at most `limit` bytes. One that says beforehand that it is longer is not read at all.
async fn whole(body: Incoming, limit: usize) -> Result<Bytes, RequestError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(RequestError::TooLong { limit });
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(RequestError::TooLong { limit }),
        Ok(Err(_)) => Err(RequestError::Broken),
        Err(_) => Err(RequestError::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(query: &str, header: Option<&'static str>) -> Result<Option<u64>, RequestError> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(LAST_EVENT_ID, header.parse().unwrap());
        }
        after(&format!("/v1/events{query}").parse().unwrap(), &headers)
    }

    #[test]
    fn whoever_comes_back_resumes_after_the_last_event_rather_than_where_it_began() {
        assert_eq!(follows("", None).unwrap(), None);
        assert_eq!(follows("?after=7", None).unwrap(), Some(7));
        assert_eq!(follows("?after=7", Some("9")).unwrap(), Some(9));
    }

    #[test]
    fn parameters_that_are_not_known_or_not_whole_numbers_are_refused() {
        for query in
            ["?after=", "?after=x", "?after=-1", "?after=%2B1", "?after=1&after=2", "?since=1", "?after", "?%zz=1"]
        {
            assert!(matches!(follows(query, None), Err(RequestError::Parameter { .. })), "{query}");
        }
        assert!(follows("", Some("x")).is_err() && follows("?after=99999999999999999999", None).is_err());
    }

    #[test]
    fn a_flag_is_true_or_false() {
        let uri: Uri = "/v1/bundles?wait=true&dry_run=false".parse().unwrap();
        let given = query(&uri, &["wait", "dry_run"]).unwrap();
        assert!(flag(&given, "wait").unwrap() && !flag(&given, "dry_run").unwrap() && !flag(&given, "x").unwrap());
        let wrong = query(&"/?wait=1".parse().unwrap(), &["wait"]).unwrap();
        assert!(flag(&wrong, "wait").is_err());
    }
}
