//! The document from the table of routes.

use serde_json::{Map, Value, json};

use super::super::routes::{Answer, Content, JSON, Place, ROUTES, Route};
use super::schema::{reference, schemas};
use crate::config::Role;

/// Schemas that no route names: the data of events, and what every refusal is.
const BESIDE: &[&str] = &["Failure", "GenerationEvent", "ConsumerEvent", "ReceiptEvent", "BoundaryEvent", "ResetEvent"];

/// The whole document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.template).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Casemate agent, API",
            "version": "1",
            "summary": "What services on the appliance read, follow and report, and what others may from elsewhere.",
            "description": "HTTP/1.1 on unix sockets, one a role (docs/api.md shows it in use), and, where the boundary \
                            has a listener, over TLS 1.3 with client certificates (docs/push.md). HEAD goes wherever GET does. Fields may be added; a reader passes over those it does not know.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [
            { "url": "http://agent", "description": "The host is of no meaning: a unix socket is dialled." },
            { "url": "https://{address}:{port}", "description": "The listener of the boundary.", "variables": {
                "address": { "default": "10.20.0.7", "description": "The appliance's." },
                "port": { "default": "8443", "description": "As the boundary says." },
            } },
        ],
        "paths": paths,
        "components": { "schemas": components() },
    })
}

fn components() -> Map<String, Value> {
    let contents = ROUTES.iter().flat_map(|route| {
        let answers = route.answers.iter().filter_map(|answer| answer.content.as_ref());
        answers.chain(route.bodies).map(|content| content.schema)
    });
    let parameters = ROUTES.iter().flat_map(|route| route.parameters.iter().map(|parameter| parameter.schema));
    let named = contents.chain(parameters).chain(BESIDE.iter().copied());
    let mut schemas = schemas(named.filter(|name| *name != "ResetEvent"));
    schemas.insert(
        "ResetEvent".into(),
        json!({
            "type": "object", "description": "Events before this one are gone: read the tree anew.",
            "additionalProperties": false, "required": ["sequence"],
            "properties": { "sequence": reference("Sequence") },
        }),
    );
    schemas
}

fn operation(route: &Route) -> Value {
    let roles: Vec<_> = route.roles.iter().map(|role: &Role| role.name()).collect();
    let kinds: Vec<_> = route.kinds.iter().map(|kind| kind.as_str()).collect();
    let mut operation = json!({
        "operationId": format!("{:?}", route.endpoint),
        "summary": route.summary,
        "description": audience(&roles, &kinds),
        "x-casemate-roles": roles,
        "x-casemate-certificates": kinds,
        "responses": responses(route),
    });
    if !route.parameters.is_empty() {
        let parameters = route.parameters.iter().map(|parameter| {
            let place = match parameter.place {
                Place::Path => "path",
                Place::Query => "query",
                Place::Header => "header",
            };
            json!({
                "name": parameter.name, "in": place, "required": parameter.place == Place::Path,
                "description": parameter.about, "schema": reference(parameter.schema),
            })
        });
        operation["parameters"] = parameters.collect();
    }
    if !route.bodies.is_empty() {
        operation["requestBody"] = json!({ "required": true, "content": contents(route.bodies) });
    }
    operation
}

fn audience(roles: &[&str], kinds: &[&str]) -> String {
    let list = |all: &[&str]| if all.is_empty() { "nobody".into() } else { all.join(", ") };
    format!(
        "On the appliance through the sockets of: {}. From elsewhere with certificates of: {}.",
        list(roles),
        list(kinds)
    )
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    for Answer { status, about, content } in route.answers {
        let mut response = json!({ "description": about });
        if let Some(content) = content {
            response["content"] = contents(std::slice::from_ref(content));
        }
        responses.insert(status.to_string(), response);
    }
    for status in route.refusals.iter().chain(&[403, 500, 503]) {
        let failure = json!({ JSON: { "schema": reference("Failure") } });
        let meaning = hyper::StatusCode::from_u16(*status).unwrap().canonical_reason();
        responses.insert(status.to_string(), json!({ "description": meaning, "content": failure }));
    }
    responses.sort_keys();
    responses.into()
}

fn contents(contents: &[Content]) -> Value {
    let one = |content: &Content| (content.media.to_owned(), json!({ "schema": reference(content.schema) }));
    contents.iter().map(one).collect::<Map<_, _>>().into()
}
