//! From a call to a request: what the server's router and [`order`](super::super::order) read, the other way round.

use hyper::Method;
use serde_json::{Value, json};

use super::super::call::{Call, ImportSource};

/// The request line and the document of a call; `None` for one that is no exchange of documents but a stream in or out.
pub(super) fn express(call: &Call) -> Option<(Method, String, Option<Value>)> {
    let get = |path: &str| (Method::GET, path.to_owned(), None);
    let post = |path: &str, body| (Method::POST, path.to_owned(), body);
    Some(match call {
        Call::EnrolRequest => post("/v1/enrolment/request", None),
        // What is no JSON is refused by the agent: it is sent as the text it is.
        Call::EnrolGrant { grant } => {
            let document = serde_json::from_slice(grant).unwrap_or_else(|_| String::from_utf8_lossy(grant).into());
            post("/v1/enrolment/grant", Some(document))
        }
        Call::EnrolWords { words } => post("/v1/enrolment/words", Some(json!({ "words": words }))),
        Call::Import { source: ImportSource::Path(path), wait, dry_run, .. } => {
            post("/v1/bundles", Some(json!({ "path": path, "wait": wait, "dry_run": dry_run })))
        }
        Call::Import { source: ImportSource::Stream(_), .. } | Call::File { .. } => return None,
        Call::Health => get("/v1/health"),
        Call::Status => get("/v1/status"),
        Call::Tree => get("/v1/tree"),
        Call::Diff => get("/v1/diff"),
        Call::Report { consumer, report } => {
            post(&format!("/v1/consumers/{consumer}/reports"), serde_json::to_value(report).ok())
        }
        Call::Boundary { .. } => get("/v1/boundary"),
        Call::Receipts => get("/v1/receipts"),
        Call::Receipt { sequence } => get(&format!("/v1/receipts/{sequence}")),
        Call::ReceiptTaken { sequence, .. } => post(&format!("/v1/receipts/{sequence}/taken"), None),
    })
}

#[cfg(test)]
mod tests {
    use casemate_protocol::evidence::receipt::Transport;

    use super::super::super::caller::Caller;
    use super::super::super::router;
    use super::super::super::routes::{Endpoint, ROUTES};
    use super::*;
    use crate::config::Role;

    #[test]
    fn every_call_has_a_route_of_its_own() {
        let report = json!({ "owner": "group.clinics", "generation": 3, "outcome": "ready" });
        let calls = [
            (Call::EnrolRequest, Endpoint::EnrolRequest),
            (Call::EnrolGrant { grant: b"{}".to_vec() }, Endpoint::EnrolGrant),
            (Call::EnrolWords { words: "lusab".into() }, Endpoint::EnrolWords),
            (
                Call::Import {
                    source: ImportSource::Path("/media/stick".into()),
                    transport: Transport::Local,
                    wait: true,
                    dry_run: false,
                },
                Endpoint::Bundles,
            ),
            (Call::Health, Endpoint::Health),
            (Call::Status, Endpoint::Status),
            (Call::Tree, Endpoint::Tree),
            (Call::Diff, Endpoint::Diff),
            (
                Call::Report {
                    consumer: "synapse".parse().unwrap(),
                    report: serde_json::from_value(report.clone()).unwrap(),
                },
                Endpoint::Report,
            ),
            (Call::Boundary { drops: true }, Endpoint::Boundary),
            (Call::Receipts, Endpoint::Receipts),
            (Call::Receipt { sequence: 7 }, Endpoint::Receipt),
            (Call::ReceiptTaken { sequence: 7, by: None }, Endpoint::Taken),
        ];
        for (call, endpoint) in &calls {
            let (method, path, body) = express(call).unwrap();
            let found = router::find(&Caller::Local(Role::Admin), &method, &path).unwrap();
            assert_eq!(found.route.endpoint, *endpoint);
            assert_eq!(body.is_some(), !found.route.bodies.is_empty(), "{path}");
        }
        let streams = [Endpoint::File, Endpoint::Events, Endpoint::OpenApi];
        let here = ROUTES.iter().filter(|route| !route.roles.is_empty()).count();
        assert_eq!(calls.len() + streams.len(), here, "a route without a call");
    }
}
