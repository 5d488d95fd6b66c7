//! The real daemon's API: every route's answer against the description, and the session of `docs/api.md`.

use std::path::Path;

use casemate_agent::local_api::routes::ROUTES;
use casemate_tests::appliance::Appliance;
use casemate_tests::http::{ask, get, post};
use casemate_tests::openapi::{complaints, complaints_as};
use casemate_tests::repository::Site;
use serde_json::{Value, json};

use crate::AGENT;
use crate::daemon::Daemon;

const PATH: &str = "synapse/homeserver.yaml";

/// An appliance with all three sockets below `run/casemate/`.
fn socketed() -> Appliance {
    let appliance = Appliance::new(AGENT);
    let run = appliance.path("run/casemate");
    std::fs::create_dir_all(&run).unwrap();
    let text = std::fs::read_to_string(appliance.path("agent.toml")).unwrap();
    let mut text: String =
        text.lines().filter(|line| !line.starts_with("socket")).map(|line| format!("{line}\n")).collect();
    for (role, name) in [("admin", "agent"), ("consumer", "consumer"), ("monitor", "monitor")] {
        text.push_str(&format!("[local.{role}]\nsocket = {:?}\n", run.join(format!("{name}.sock"))));
    }
    std::fs::write(appliance.path("agent.toml"), text).unwrap();
    appliance
}

/// Asks `method path` and holds the answer against what `template` is described to answer.
fn told(socket: &Path, method: &str, template: &str, path: &str, document: Option<&Value>) -> (u16, Value) {
    let reply = match (method, document) {
        (_, Some(document)) => post(socket, path, document),
        _ => ask(socket, &format!("{method} {path} HTTP/1.1"), b""),
    };
    if reply.status == 204 {
        return (204, Value::Null);
    }
    assert_eq!(complaints(method, template, reply.status, &reply.json()), [""; 0], "{method} {path}");
    (reply.status, reply.json())
}

#[test]
fn every_route_answers_what_it_is_described_to_answer() {
    let (appliance, mut site) = (socketed(), Site::sample());
    let socket = appliance.path("run/casemate/agent.sock");
    let mut seen = Vec::new();
    let mut told = |method: &str, template: &'static str, path: &str, document: Option<&Value>, wanted: u16| {
        let (status, answer) = told(&socket, method, template, path, document);
        assert_eq!(status, wanted, "{method} {path}: {answer}");
        seen.push((method.to_owned(), template));
        answer
    };
    let daemon = Daemon::start(&appliance);
    let bare = told("GET", "/v1/status", "/v1/status", None, 200);
    assert_eq!(bare["enrolment"], "none");
    told("GET", "/v1/health", "/v1/health", None, 200);
    let request = told("POST", "/v1/enrolment/request", "/v1/enrolment/request", None, 200);
    std::fs::write(appliance.path("keys"), request.to_string()).unwrap();
    let grant: Value = serde_json::from_slice(&appliance.grant(&site, "lux-001")).unwrap();
    assert_eq!(complaints_as("EnrolmentGrant", &grant), [""; 0]);
    let pending = told("POST", "/v1/enrolment/grant", "/v1/enrolment/grant", Some(&grant), 200);
    let words: Vec<_> = pending["words"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let template = "/v1/enrolment/words";
    told("POST", template, template, Some(&json!({ "words": "lusab" })), 422);
    told("POST", template, template, Some(&json!({ "words": words.join(" ") })), 200);
    told("POST", "/v1/enrolment/request", "/v1/enrolment/request", None, 409);
    site.assignments.values_mut().for_each(|assignment| assignment.device = appliance.keys().fingerprint());

    std::fs::write(appliance.path("first.casemate"), site.issue().bundle().bytes()).unwrap();
    let order = json!({ "path": appliance.path("first.casemate") });
    assert_eq!(told("POST", "/v1/bundles", "/v1/bundles", Some(&order), 200)["code"], "applied");
    assert_eq!(told("POST", "/v1/bundles", "/v1/bundles", Some(&order), 200)["code"], "already-applied");
    let nowhere = json!({ "path": "/nonexistent" });
    told("POST", "/v1/bundles", "/v1/bundles", Some(&nowhere), 422);
    assert_eq!(told("GET", "/v1/status", "/v1/status", None, 200)["owners"][0]["state"], "committed");
    let tree = told("GET", "/v1/tree", "/v1/tree", None, 200);
    assert_eq!(tree["owners"][0]["files"][0]["path"], PATH, "{tree}");
    told("GET", "/v1/diff", "/v1/diff", None, 200);
    told("GET", "/v1/boundary", "/v1/boundary", None, 200);
    let receipts = told("GET", "/v1/receipts", "/v1/receipts", None, 200);
    assert_eq!(receipts["receipts"][0]["sequence"], 1);
    told("GET", "/v1/receipts/{number}", "/v1/receipts/1", None, 200);
    told("GET", "/v1/receipts/{number}", "/v1/receipts/99", None, 404);
    told("POST", "/v1/receipts/{number}/taken", "/v1/receipts/1/taken", None, 204);
    told("POST", "/v1/receipts/{number}/taken", "/v1/receipts/99/taken", None, 404);
    let report = json!({ "owner": "group.clinics", "generation": 1, "outcome": "ready" });
    let template = "/v1/consumers/{consumer}/reports";
    told("POST", template, "/v1/consumers/synapse/reports", Some(&report), 409);
    told("GET", "/v1/openapi.json", "/v1/openapi.json", None, 200);

    let file = get(&socket, &format!("/v1/files/groups/clinics/{PATH}"));
    assert_eq!(file.body, appliance.current(&format!("groups/clinics/{PATH}")).unwrap());
    let object = tree["owners"][0]["files"][0]["object"].as_str().unwrap();
    assert_eq!(file.headers["etag"], format!("\"{object}\""));
    let template = "/v1/files/{owners}/{id}/{path}";
    told("GET", template, "/v1/files/groups/clinics/nothing", None, 404);
    told("GET", template, "/v1/files/tenants/clinics/nothing", None, 404);
    let asked_here = ROUTES.iter().filter(|route| !route.roles.is_empty());
    for route in asked_here.filter(|route| route.template != "/v1/events") {
        assert!(seen.contains(&(route.method.to_string(), route.template)), "{} was not asked", route.template);
    }
    drop(daemon);
}

#[test]
fn what_differs_from_the_description_is_found() {
    let health = json!({
        "format": 1, "state": "ok", "reasons": [], "demo": false, "generations": 0, "receipts_waiting": 0,
        "time": "2026-03-01T00:00:00Z", "clock": "plausible", "journal": { "size": 0, "root": "0".repeat(64) },
    });
    let found = |health: &Value| complaints("GET", "/v1/health", 200, health);
    assert_eq!(found(&health), [""; 0]);
    for (pointer, wrong) in [
        ("/state", json!("fine")),
        ("/format", json!("1")),
        ("/generations", json!(-1)),
        ("/journal/root", json!("00")),
        ("/reasons", json!(["no-such-code"])),
        ("/time", json!("yesterday")),
    ] {
        let mut spoilt = health.clone();
        *spoilt.pointer_mut(pointer).unwrap() = wrong;
        assert_eq!(found(&spoilt).len(), 1, "{pointer}");
    }
    let (mut more, mut less) = (health.clone(), health.clone());
    more["weather"] = json!("rain");
    less.as_object_mut().unwrap().remove("clock");
    assert_eq!((found(&more).len(), found(&less).len()), (1, 1));
    assert_eq!(complaints("GET", "/v1/health", 418, &health).len(), 1);
}

/// The commands of a page's ```console blocks, each with the lines its output shows; `…` stands for any text.
pub(crate) fn session(page: &str) -> Vec<(String, Vec<String>)> {
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    for line in blocks.flat_map(str::lines).filter(|line| !line.is_empty()) {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command.to_owned(), Vec::new())),
            (None, Some((_, lines))) => lines.push(line.to_owned()),
            (None, None) => panic!("output before the first command: {line}"),
        }
    }
    steps
}

/// Whether `line` is `shown`, in which `…` stands for any text.
pub(crate) fn is_shown(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn the_session_of_the_page_is_what_happens() {
    assert!(is_shown("a…c…", "abcd") && is_shown("abc", "abc") && !is_shown("a…b", "abc") && !is_shown("b…", "abc"));
    let (appliance, mut site) = (socketed(), Site::sample());
    appliance.enrol(&mut site, "lux-001");
    std::fs::write(appliance.path("first.casemate"), site.issue().bundle().bytes()).unwrap();
    let daemon = Daemon::start(&appliance);
    let order = json!({ "path": appliance.path("first.casemate") });
    assert_eq!(post(&appliance.path("run/casemate/agent.sock"), "/v1/bundles", &order).json()["code"], "applied");
    site.reissue("group.clinics", PATH, b"april\n");
    std::fs::write(appliance.path("next.casemate"), site.issue().bundle().bytes()).unwrap();

    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md")).unwrap();
    let steps = session(&page);
    assert!(steps.len() >= 11, "{} steps", steps.len());
    let run = format!("{}/", appliance.path("run/casemate").display());
    for (command, wanted) in steps {
        let here = command.replace("/run/casemate/", &run);
        let mut bash = std::process::Command::new("bash");
        let output = bash.args(["-euo", "pipefail", "-c", &here]).current_dir(appliance.path("")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}\n{output:?}");
        let mut lines = text.lines();
        for shown in wanted {
            assert!(lines.any(|line| is_shown(&shown, line)), "{command}\nshows {shown}\nbut says {text}");
        }
    }
    drop(daemon);
}
