//! Bundles that arrive in pieces.

use std::path::Path;
use std::process::{Command, Stdio};

use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;

use super::station::{Reply, Station};

const HOMESERVER: &str = "groups/clinics/synapse/homeserver.yaml";

/// The bundle, written where the client has it.
fn bundle(station: &Station) -> (Vec<u8>, String) {
    let bytes = station.site.issue().bundle().bytes();
    std::fs::write(station.path("next.casemate"), &bytes).unwrap();
    let path = format!("/v1/uploads/{}", Digest::of(&bytes));
    (bytes, path)
}

fn patch(station: &Station, path: &str, offset: usize, length: usize, bytes: &[u8]) -> Reply {
    std::fs::write(station.path("piece"), bytes).unwrap();
    let arguments = format!(
        "-X PATCH --data-binary @piece -H 'Content-Type: application/octet-stream' -H 'Upload-Offset: {offset}' \
         -H 'Upload-Length: {length}' {path}"
    );
    station.curl(&station.client("publisher"), &arguments)
}

fn offset(station: &Station, path: &str) -> String {
    let reply = station.curl(&station.client("publisher"), &format!("--head {path}"));
    assert_eq!(reply.status, 200, "{reply:?}");
    let line = reply.body.lines().find_map(|line| line.strip_prefix("upload-offset: "));
    line.unwrap().trim().to_owned()
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/push.md")).unwrap()
}

/// Writes the page's script where its session expects it.
fn script(station: &Station) {
    let page = page();
    let script = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(station.path("push.sh"), script).unwrap();
}

#[test]
fn a_bundle_in_one_request_is_imported_and_the_receipt_says_how_it_came() {
    let station = Station::open();
    bundle(&station);
    let publisher = station.client("publisher");
    let order = "--data-binary @next.casemate -H 'Content-Type: application/vnd.casemate.bundle' /v1/bundles";
    let dry = station.curl(
        &publisher,
        &order
            .replace("bundles", "bundles?dry_run=true")
            .replace("vnd.casemate.bundles?dry_run=true", "vnd.casemate.bundle"),
    );
    assert_eq!(dry.status, 200, "{dry:?}");
    assert!(dry.json()["bundles"][0].get("diff").is_none(), "a publisher reads no diff: {dry:?}");
    assert!(station.appliance.current(HOMESERVER).is_none());
    let reply = station.curl(&publisher, order);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (200, Some("applied")), "{reply:?}");
    assert_eq!(reply.json()["bundles"][0]["file"], "-", "no path of the appliance is told");
    assert_eq!(station.appliance.current(HOMESERVER).unwrap(), b"server_name: clinics.example\n");
    assert_eq!(std::fs::read_dir(station.path("state/push")).unwrap().count(), 0);
    let appliance = station.appliance.clone();
    drop(station);
    assert_eq!(appliance.receipts()[0].predicate.transport, Some(Transport::Push));
}

#[test]
fn a_stick_carries_the_receipts_that_somebody_says_to_have_taken_over_the_network_once() {
    let station = Station::open();
    let taken = station.curl(&station.client("publisher"), "-X POST /v1/receipts/1/taken");
    assert_eq!(taken.status, 404, "nothing is here yet: {taken:?}");
    let (bytes, _) = bundle(&station);
    let order = "--data-binary @next.casemate -H 'Content-Type: application/vnd.casemate.bundle' /v1/bundles";
    assert_eq!(station.curl(&station.client("publisher"), order).status, 200);
    let taken = station.curl(&station.client("publisher"), "-X POST /v1/receipts/1/taken");
    assert_eq!(taken.status, 204, "{taken:?}");
    let appliance = station.appliance.clone();
    drop(station);
    let carried = || {
        let files = casemate_tests::appliance::files_below(&appliance.path("stick/out"));
        files.iter().filter(|(path, _)| path.to_string_lossy().ends_with("-receipt-000001.json")).count()
    };
    let _known = appliance.import_one(&bytes);
    assert_eq!(carried(), 1);
    std::fs::remove_dir_all(appliance.path("stick/out")).unwrap();
    let _known = appliance.import_one(&bytes);
    assert_eq!(carried(), 0, "a stick has carried it");
}

#[test]
fn an_upload_broken_off_at_any_place_goes_on_with_the_script_of_the_page() {
    let station = Station::open();
    let (bytes, path) = bundle(&station);
    script(&station);
    let half = bytes.len() / 2;
    assert_eq!(offset(&station, &path), "0");
    let first = patch(&station, &path, 0, bytes.len(), &bytes[..100]);
    assert_eq!((first.status, offset(&station, &path).as_str()), (204, "100"), "{first:?}");
    // A line that breaks in the middle of a request: what came is kept.
    let environment = station.environment(&station.client("publisher"));
    let mut cut = Command::new("openssl");
    cut.args(["s_client", "-quiet", "-no_ign_eof", "-connect", &environment[0].1, "-cert", &environment[3].1, "-key"]);
    let mut cut = cut.arg(&environment[4].1).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nUpload-Offset: 100\r\n\
         Upload-Length: {}\r\nContent-Length: {}\r\n\r\n",
        bytes.len(),
        bytes.len() - 100
    );
    let request = [head.as_bytes(), &bytes[100..half]].concat();
    std::io::Write::write_all(&mut cut.stdin.take().unwrap(), &request).unwrap();
    cut.wait().unwrap();
    let resumed = station.shell(&station.client("publisher"), "sh push.sh next.casemate");
    let said = String::from_utf8_lossy(&resumed.stdout);
    assert!(resumed.status.success() && said.contains("\"code\":\"applied\""), "{resumed:?}");
    assert_eq!(station.appliance.current(HOMESERVER).unwrap(), b"server_name: clinics.example\n");
    assert_eq!(offset(&station, &path), "0", "nothing is left of it");
}

#[test]
fn pieces_that_do_not_fit_are_refused_and_what_is_here_stays() {
    let station = Station::open();
    let (bytes, path) = bundle(&station);
    let length = bytes.len();
    assert_eq!(patch(&station, &path, 0, length, &bytes[..50]).status, 204);
    for (offset, length, piece) in
        [(0, length, &bytes[..9]), (51, length, &bytes[51..60]), (50, length + 1, &bytes[50..60])]
    {
        let reply = patch(&station, &path, offset, length, piece);
        assert_eq!((reply.status, reply.json()["code"].as_str()), (409, Some("upload-conflict")), "{reply:?}");
    }
    let long = patch(&station, &path, 50, length, &[&bytes[50..], b"more"].concat());
    assert_eq!((long.status, long.json()["code"].as_str()), (413, Some("too-large")), "{long:?}");
    assert_eq!(offset(&station, &path), "50");
    // Other bytes than the digest says: thrown away, never read.
    let mut spoilt = bytes[50..].to_vec();
    spoilt[10] ^= 1;
    let reply = patch(&station, &path, 50, length, &spoilt);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (409, Some("upload-conflict")), "{reply:?}");
    assert_eq!(offset(&station, &path), "0");
    let whole = patch(&station, &path, 0, length, &bytes);
    assert_eq!((whole.status, whole.json()["code"].as_str()), (200, Some("applied")), "{whole:?}");
    for wrong in ["/v1/uploads/abc", "/v1/uploads/..%2f..%2fidentity"] {
        assert_eq!(patch(&station, wrong, 0, 1, b"x").status, 404, "{wrong}");
    }
}

#[test]
fn an_upload_that_would_fill_the_disk_is_not_begun() {
    let station = Station::with(Default::default(), u64::MAX / 2);
    let (bytes, path) = bundle(&station);
    let reply = patch(&station, &path, 0, bytes.len(), &bytes);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (503, Some("disk-full")), "{reply:?}");
    assert_eq!(std::fs::read_dir(station.path("state/push")).unwrap().count(), 0);
}

#[test]
fn the_session_of_the_page_is_what_happens() {
    let station = Station::open();
    bundle(&station);
    script(&station);
    let publisher = station.client("publisher");
    let page = page();
    let steps = crate::local_api::session(&page);
    assert!(steps.len() >= 3, "{} steps", steps.len());
    for (command, wanted) in steps {
        let output = station.shell(&publisher, &command);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}\n{output:?}");
        let mut lines = text.lines();
        for shown in wanted {
            assert!(
                lines.any(|line| crate::local_api::is_shown(&shown, line)),
                "{command}\nshows {shown}\nbut says {text}"
            );
        }
    }
}
