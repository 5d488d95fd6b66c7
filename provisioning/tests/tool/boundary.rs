//! What may be exchanged with whom: the envelope, the boundaries inside it, what signers are shown of them.

use std::fs;

use casemate_protocol::boundary::{Boundary, Envelope};
use casemate_protocol::digest::Digest;
use serde_json::{Value, json};

use crate::scene::Scene;

const ENVELOPE: &str =
    "# Nothing beyond the clinics' own network.\nnetworks = [\"10.20.0.0/16\"]\ndhcp = true\nobserve = true\n";
const CLINICS: &str = "site/boundary/clinics.toml";
const CSV: &str = "site/appliances.csv";
const FLOW: &str = "\n[[flow]]\npurpose = \"federation\"\ndirection = \"out\"\nprotocol = \"tcp\"\nto = \"10.20.1.0/24\"\nports = \"8448\"\n";

fn peer(more: &str) -> String {
    let pin = Digest::of(b"the control plane's key");
    format!(
        "[[peer]]\nid = \"control\"\nprotocol = \"https\"\naddress = \"10.20.0.5\"\nport = 8443\npin = \"{pin}\"\n\
         purpose = \"repository\"\n{more}"
    )
}

/// A site whose root binds [`ENVELOPE`], with two confirmed appliances; lux-001 is in the boundary `clinics`.
fn site(whose: &[&str]) -> Scene {
    let scene = Scene::empty();
    scene.write("envelope.toml", ENVELOPE);
    scene.ok(&[&["init", "site", "--jurisdiction", "LU", "--envelope", "envelope.toml"], whose].concat());
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "clinics");
    scene.edit(CSV, "lux-001,,clinics,", "lux-001,,clinics,clinics");
    scene.write(CLINICS, &format!("{}{FLOW}", peer("required = true\n")));
    scene
}

fn demo() -> Scene {
    site(&["--demo"])
}

/// The newest metadata of a role.
fn metadata(scene: &Scene, file: &str) -> Value {
    serde_json::from_str::<Value>(&scene.read(&format!("site/repository/metadata/{file}"))).unwrap()["signed"].clone()
}

fn target(scene: &Scene, name: &str) -> Vec<u8> {
    let folder = "site/repository/targets/boundary";
    let mut found = scene.list(folder).into_iter().filter(|file| file.ends_with(&format!(".{name}.json")));
    let file = found.next().unwrap();
    assert_eq!(found.next(), None);
    fs::read(scene.path(&format!("{folder}/{file}"))).unwrap()
}

#[test]
fn init_binds_the_envelope_into_the_root_and_keeps_it_as_it_was_written() {
    let scene = Scene::empty();
    scene.write("envelope.toml", ENVELOPE);
    let init = ["--json", "init", "site", "--jurisdiction", "LU", "--demo", "--envelope", "envelope.toml"];
    let said = scene.ok(&init);
    assert_eq!(scene.read("site/boundary/envelope.toml"), ENVELOPE);
    let raw =
        b"{\"dhcp\":true,\"format\":1,\"jurisdiction\":\"LU\",\"networks\":[\"10.20.0.0/16\"],\"observe\":true}\n";
    let bound = metadata(&scene, "1.root.json")["x-casemate"]["envelope"].clone();
    assert_eq!(bound, json!(Digest::of(raw)));
    assert_eq!(said.json()["envelope"], bound);
    let plain = Scene::demo();
    assert_eq!(metadata(&plain, "1.root.json")["x-casemate"].get("envelope"), None);
    assert!(!plain.path("site/boundary").exists());
}

#[test]
fn an_envelope_with_mistakes_makes_no_site_and_no_keys() {
    let scene = Scene::empty();
    scene.write("envelope.toml", "networks = [\n  \"10.20.0.0/16\",\n  \"everywhere\",\n]\n");
    let init = ["init", "site", "--jurisdiction", "LU", "--demo", "--envelope"];
    scene
        .run(&[&init[..], &["envelope.toml"]].concat())
        .refused("site-invalid")
        .says("envelope.toml:3: \"everywhere\" is no network")
        .says("names are never resolved");
    scene.run(&[&init[..], &["absent.toml"]].concat()).refused("input-unreadable");
    assert_eq!(scene.list("."), ["envelope.toml"]);
}

#[test]
fn without_an_envelope_in_the_root_a_boundary_is_refused_and_the_way_out_is_told() {
    let scene = Scene::demo();
    scene.write(CLINICS, FLOW);
    let run = scene.run(&["plan"]);
    assert_eq!(run.refused("boundary-wider").exit, 1);
    run.says("boundary/clinics.toml is a boundary, and the root binds no envelope")
        .says("`casemate init --envelope FILE`")
        .says("needs a new root, which no command makes yet");
    scene.write("site/boundary/envelope.toml", ENVELOPE);
    scene.run(&["plan"]).refused("boundary-wider");
    fs::remove_file(scene.path(CLINICS)).unwrap();
    scene.run(&["plan"]).refused("boundary-wider").says("boundary/envelope.toml is an envelope (SHA-256 ");
    assert!(!scene.path("site/.plan").exists());
}

#[test]
fn another_envelope_than_the_root_s_is_noticed_and_other_words_for_the_same_are_not_another() {
    let scene = demo();
    scene.write(
        "site/boundary/envelope.toml",
        "observe = true\ndhcp = true\nnetworks = [\"10.20.0.0/16\"] # the same\n",
    );
    scene.ok(&["plan"]);
    scene.edit("site/boundary/envelope.toml", "10.20.0.0/16", "10.0.0.0/8");
    scene
        .run(&["plan"])
        .refused("boundary-wider")
        .says("boundary/envelope.toml is not the envelope the root binds: expected SHA-256 ")
        .says("needs a new root, which no command makes yet");
    fs::remove_file(scene.path("site/boundary/envelope.toml")).unwrap();
    scene.run(&["plan"]).refused("boundary-wider").says("boundary/envelope.toml is absent");
}

#[test]
fn every_mistake_of_the_boundaries_is_shown_at_once_with_file_and_line() {
    let scene = demo();
    scene.edit(CSV, "clinics,clinics", "clinics,clinic");
    scene.edit(CLINICS, "10.20.1.0/24", "192.0.2.0/24");
    scene.edit(CLINICS, "\"https\"", "\"http\"");
    scene.write("site/boundary/wards.toml", "[[flows]]\n");
    scene.write("site/boundary/notes.txt", "");
    let run = scene.run(&["plan"]);
    assert_eq!(run.refused("site-invalid").exit, 2);
    for line in [
        "appliances.csv:3: there is no boundary clinic; did you mean \"clinics\"?",
        "boundary/clinics.toml:3: \"http\" is no peer's protocol; did you mean \"https\"?",
        "boundary/clinics.toml:10: 192.0.2.0/24 is beyond the envelope; narrow it",
        "boundary/notes.txt: this file is not expected here; only <name>.toml stands in boundary/",
        "boundary/wards.toml:1: unknown field `flows`; did you mean \"flow\"?",
    ] {
        run.says(line);
    }
}

#[test]
fn the_documents_that_are_signed_are_those_appliances_read() {
    let scene = demo();
    scene.publish();
    let raw = target(&scene, "envelope");
    let bound = Digest::of(&raw);
    assert_eq!(metadata(&scene, "1.root.json")["x-casemate"]["envelope"], json!(bound));
    let envelope = Envelope::parse(&raw, Some(bound), "LU".parse().unwrap()).unwrap();
    let boundary = Boundary::parse(&target(&scene, "clinics"), &"clinics".parse().unwrap()).unwrap();
    envelope.admit(&boundary).unwrap();
    assert_eq!(boundary.allow.entries().len(), 2);
    let targets = metadata(&scene, "2.targets.json");
    let role = &targets["delegations"]["roles"][0];
    assert_eq!((&role["name"], &role["paths"]), (&json!("boundary"), &json!(["boundary/*"])));
    assert_eq!(role["threshold"], 1, "--demo");
    // It moves alone.
    scene.edit(CLINICS, "8448", "8449");
    scene.ok(&["plan"]).says("To be signed: boundary 2\n");
    scene.ok(&["sign"]).says("boundary 2");
    assert!(!scene.path("site/repository/metadata/3.targets.json").exists());
    // The last boundary takes the role with it; a later one continues its versions.
    fs::remove_file(scene.path(CLINICS)).unwrap();
    scene.edit(CSV, "clinics,clinics", "clinics,");
    scene.ok(&["plan"]).says("boundary clinics -> none: narrower, in force at once; on lux-001");
    scene.ok(&["sign"]);
    let roles = metadata(&scene, "3.targets.json")["delegations"]["roles"].clone();
    assert!(roles.as_array().unwrap().iter().all(|role| role["name"] != "boundary"));
    scene.write(CLINICS, FLOW);
    scene.ok(&["plan"]).says("boundary 3");
}

#[test]
fn two_persons_sign_a_boundary_and_each_is_shown_what_it_changes() {
    let scene = site(&["--person", "anna", "--person", "bob", "--person", "eve"]);
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "r"]).says("boundary: 2 of 3 keys must sign");
    let add = |key: &str| {
        let (key, sig) = (format!("site-keys/{key}.key"), format!("{key}.sig"));
        scene.ok(&["sign", "add", "r", "--key", &key, "-o", &sig])
    };
    add("anna")
        .says("envelope, as root binds it: 10.20.0.0/16; any peer key, dhcp, observing")
        .says("boundary none -> clinics: wider; tried first, given up unless the peer control is reached; on lux-001")
        .says("+ peer control https 10.20.0.5:8443 required pins ")
        .says("+ flow federation out tcp to 10.20.1.0/24 port 8448")
        .says("boundary 1: 2 targets");
    scene.run(&["sign", "finish", "anna.sig"]).refused("signers-missing");
    add("bob");
    scene.ok(&["sign", "finish", "anna.sig", "bob.sig"]).says("boundary 1");
    let keys = metadata(&scene, "2.targets.json")["delegations"]["roles"][0]["keyids"].clone();
    assert_eq!(keys, metadata(&scene, "1.root.json")["roles"]["targets"]["keyids"]);
    // Later one person alone moves nothing either.
    scene.edit(CLINICS, "8448", "8449");
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "second"]);
    scene.ok(&["sign", "add", "second", "--key", "site-keys/eve.key", "-o", "eve.sig"]);
    scene.run(&["sign", "finish", "eve.sig"]).refused("signers-missing").says("role boundary");
}

#[test]
fn a_request_for_another_boundary_than_the_own_site_s_is_not_signed() {
    let scene = site(&["--person", "anna", "--person", "bob"]);
    scene.ok(&["plan"]);
    scene.ok(&["sign", "request", "-o", "r"]);
    scene.edit(CLINICS, "10.20.1.0/24", "10.20.2.0/24");
    scene
        .run(&["sign", "add", "r", "--key", "site-keys/bob.key", "-o", "bob.sig"])
        .refused("request-differs")
        .says("role boundary, boundary/clinics.json: ");
    assert!(!scene.path("bob.sig").exists());
}

#[test]
fn signers_see_which_way_a_boundary_goes_and_whether_it_is_tried() {
    let scene = demo();
    scene.publish();
    let lines = |scene: &Scene| {
        let plan = scene.ok(&["--json", "plan"]).json();
        (plan["boundaries"].clone(), scene.ok(&["plan"]).stdout)
    };
    scene.edit(CLINICS, "10.20.1.0/24", "10.20.1.0/25");
    let (steps, told) = lines(&scene);
    assert!(told.contains("boundary clinics: narrower, in force at once; on lux-001\n"), "{told}");
    assert!(told.contains("    - flow federation out tcp to 10.20.1.0/24 port 8448\n"), "{told}");
    assert!(told.contains("    + flow federation out tcp to 10.20.1.0/25 port 8448\n"), "{told}");
    assert!(told.contains("  lux-001: boundary clinics changes\n"), "{told}");
    assert_eq!((&steps[0]["course"], &steps[0]["appliances"]), (&json!("narrower"), &json!(["lux-001"])));
    scene.edit(CLINICS, "10.20.1.0/25", "10.20.0.0/16");
    let (steps, told) = lines(&scene);
    assert!(
        told.contains("boundary clinics: wider; tried first, given up unless the peer control is reached"),
        "{told}"
    );
    assert_eq!((&steps[0]["course"], &steps[0]["required"]), (&json!("wider"), &json!(["control"])));
    scene.edit(CLINICS, "8448", "8443");
    let (_, told) = lines(&scene);
    assert!(told.contains("boundary clinics: wider in one place, narrower in another; tried first"), "{told}");
    scene.edit(CLINICS, "required = true\n", "");
    let (_, told) = lines(&scene);
    assert!(told.contains("; not tried, because no peer in it is required; on lux-001"), "{told}");
    scene.ok(&["plan"]).says("warning: boundary clinics: no peer is required");
    // Who goes from one to another is told what that changes for it.
    scene.write("site/boundary/wards.toml", FLOW);
    scene.edit(CSV, "lux-002,,clinics,", "lux-002,,clinics,wards");
    let (_, told) = lines(&scene);
    assert!(told.contains("boundary none -> wards: wider; not tried"), "{told}");
    assert!(told.contains("lux-002: boundary none -> wards"), "{told}");
    scene.edit(CSV, "lux-002,,clinics,wards", "lux-002,,clinics,");
    scene.ok(&["plan"]).says("warning: no line of appliances.csv names boundary wards").says("no appliance is in it");
    scene.write("site/boundary/wards.toml", &format!("observe_until = \"2026-04-01T00:00:00Z\"\n{FLOW}"));
    scene.ok(&["plan"]).says("boundary wards: nothing is dropped until 2026-04-01T00:00:00Z");
    scene.edit("site/boundary/wards.toml", "2026-04", "2026-02");
    scene.ok(&["plan"]).says("boundary wards: observe_until 2026-02-01T00:00:00Z has passed");
}

#[test]
fn a_flow_that_is_no_longer_a_tenant_s_is_wider_because_appliances_did_not_get_it_before() {
    let scene = demo();
    let tenant = "tenant = \"north\"\n";
    scene.write(CLINICS, &format!("{}{FLOW}{tenant}", peer("required = true\n")));
    scene.publish();
    let steps = |scene: &Scene| scene.ok(&["--json", "plan"]).json()["boundaries"].clone();
    let entry = "flow federation out tcp to 10.20.1.0/24 port 8448";
    let reserved = format!("{entry} for tenant.north");
    scene.edit(CLINICS, tenant, "");
    let step = steps(&scene)[0].clone();
    assert_eq!((&step["course"], &step["appliances"]), (&json!("wider"), &json!(["lux-001"])));
    assert_eq!(step["changes"], json!([{"edit": "added", "item": entry}]));
    assert_eq!(step["reserved"], json!([{"edit": "removed", "item": reserved}]));
    scene
        .ok(&["plan"])
        .says("boundary clinics: wider; tried first, given up unless the peer control is reached; on lux-001\n")
        .says(&format!("    + {entry}\n"))
        .says(&format!("    - {reserved}: reserved, on no appliance\n"));
    assert_eq!(scene.ok(&["--json", "boundary", "diff"]).json()["boundaries"][0]["course"], "wider");
    // What changes of the tenant's alone changes nothing on any appliance, and signers see it all the same.
    scene.edit(CLINICS, "ports = \"8448\"\n", &format!("ports = \"8440-8448\"\n{tenant}"));
    let step = steps(&scene)[0].clone();
    assert_eq!((&step["course"], &step["changes"]), (&json!("same"), &json!([])));
    assert_eq!(step["reserved"].as_array().unwrap().len(), 2);
}

#[test]
fn an_edited_boundary_makes_the_plan_stale() {
    let scene = demo();
    scene.ok(&["plan"]);
    scene.edit(CLINICS, "8448", "8449");
    scene.run(&["sign"]).refused("plan-stale").says("boundary/clinics.toml changed since");
}

#[test]
fn boundaries_are_checked_without_a_plan_and_without_the_rest_of_the_site() {
    let scene = demo();
    scene.write("site/groups/clinics/bundle.toml", "broken");
    scene
        .ok(&["boundary", "check"])
        .says("envelope, as root binds it: 10.20.0.0/16; any peer key, dhcp, observing\n")
        .says("boundary clinics of lux-001:\n  peer control https 10.20.0.5:8443 required pins ")
        .says("1 boundary, inside the envelope.");
    let said = scene.ok(&["--json", "boundary", "check", "clinics"]).json();
    assert_eq!(said["boundaries"][0]["appliances"], json!(["lux-001"]));
    assert_eq!(said["boundaries"][0]["allow"]["flows"][0]["ports"], "8448");
    assert_eq!(said["envelope"]["sha256"], metadata(&scene, "1.root.json")["x-casemate"]["envelope"]);
    scene
        .run(&["boundary", "check", "clinic"])
        .refused("site-invalid")
        .says("boundary/clinic.toml: there is no such boundary; did you mean \"clinics\"?");
    scene.edit(CLINICS, "10.20.1.0/24", "10.0.0.0/8");
    scene.run(&["boundary", "check"]).refused("site-invalid").says("boundary/clinics.toml:10: 10.0.0.0/8 is beyond");
    scene.edit("site/boundary/envelope.toml", "10.20.0.0/16", "10.0.0.0/8");
    scene.run(&["boundary", "check"]).refused("boundary-wider").says("is not the envelope the root binds");
    assert!(!scene.path("site/.plan").exists());
    let without = Scene::demo();
    without.ok(&["boundary", "check"]).says("nothing may leave any appliance");
}

#[test]
fn the_difference_to_what_is_signed_is_told_boundary_by_boundary() {
    let scene = demo();
    scene.ok(&["boundary", "diff"]).says("boundary none -> clinics: wider; tried first");
    scene.publish();
    scene.ok(&["boundary", "diff"]).says("Nothing differs");
    scene.edit(CLINICS, "8448", "8440-8448");
    scene.write("site/boundary/wards.toml", "");
    let said = scene.ok(&["--json", "boundary", "diff"]).json();
    assert_eq!(said["boundaries"].as_array().unwrap().len(), 2);
    let said = scene.ok(&["--json", "boundary", "diff", "clinics"]).json();
    assert_eq!(said["boundaries"].as_array().unwrap().len(), 1);
    assert_eq!(said["boundaries"][0]["course"], "wider");
    assert_eq!(
        said["boundaries"][0]["changes"][1],
        json!({"edit": "added", "item": "flow federation out tcp to 10.20.1.0/24 port 8440-8448"})
    );
    scene.run(&["boundary", "diff", "nobody"]).refused("site-invalid");
    assert!(!scene.path("site/.plan").exists());
}

fn listing(scene: &Scene, folder: &str) -> Vec<String> {
    let file = scene.path(&format!("{folder}/{}", scene.list(folder)[0]));
    let listing = std::process::Command::new("tar").arg("tf").arg(file).output().unwrap();
    String::from_utf8(listing.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_listener_is_checked_and_told_like_every_other_entry() {
    let scene = demo();
    scene.publish();
    let text = scene.read("site/boundary/clinics.toml") + "\n[listen]\nport = 8443\nfrom = [\"10.20.3.0/24\"]\n";
    scene.write("site/boundary/clinics.toml", &text);
    scene.ok(&["boundary", "check"]).says("  listen 8443 from 10.20.3.0/24");
    scene.ok(&["boundary", "diff"]).says("listen 8443 from 10.20.3.0/24");
    scene
        .ok(&["plan"])
        .says("listen 8443 from 10.20.3.0/24")
        .says("boundary clinics: it listens, but the site has no authority");
    scene.ok(&["ca", "init"]);
    assert!(!scene.ok(&["plan"]).stderr.contains("it listens"));
}

#[test]
fn a_bundle_carries_the_boundary_of_those_it_addresses_and_says_what_it_allows() {
    let scene = demo();
    scene.write("site/boundary/wards.toml", FLOW);
    scene.publish();
    let said = scene.ok(&["check"]);
    assert!(said.stdout.contains("lux-001    accepts  clinics 1: 2 entries\n"), "{said:?}");
    assert!(said.stdout.contains("lux-002    accepts  none: nothing may leave\n"), "{said:?}");
    scene.ok(&["pack", "--bundle", "all"]);
    let names = listing(&scene, "all");
    let at =
        |name: &str| names.iter().position(|found| found == name).unwrap_or_else(|| panic!("{name} not in {names:?}"));
    let object = |name: &str| format!("objects/{}", Digest::of(&target(&scene, name)));
    // Roles by name, then manifests and boundary documents by path.
    assert_eq!(at("metadata/1.group.clinics.json"), at("metadata/1.boundary.json") + 1);
    assert_eq!(at(&object("clinics")), at("metadata/1.group.clinics.json") + 1);
    assert_eq!(at(&object("envelope")), at(&object("clinics")) + 1);
    assert!(!names.contains(&object("wards")), "nobody in the bundle is in it");
    let root = "site/repository/metadata/1.root.json";
    let file = format!("all/{}", scene.list("all")[0]);
    scene
        .ok(&["inspect", "--root", root, &file])
        .says("boundary of lux-001: clinics 1: 2 entries\n    peer control https 10.20.0.5:8443 required pins ")
        .says("boundary of lux-002: none: nothing may leave\n");
    let said = scene.ok(&["--json", "inspect", "--root", root, &file]).json();
    let appliances = &said["bundles"][0]["appliances"];
    assert_eq!(appliances[0]["boundary"]["name"], "clinics");
    assert_eq!(appliances[0]["boundary"]["envelope"], json!(Digest::of(&target(&scene, "envelope"))));
    assert_eq!(appliances[1]["boundary"], Value::Null);
    scene.ok(&["pack", "--bundle", "one", "--appliance", "lux-002"]);
    assert!(!listing(&scene, "one").iter().any(|name| name.contains("boundary")));
}

#[test]
fn a_boundary_that_an_appliance_would_refuse_is_never_packed() {
    let mut scene = demo();
    scene.publish();
    // The role moves alone, and is signed for a day only.
    scene.edit("site/site.toml", "targets   = 400", "targets   = 1");
    scene.edit(CLINICS, "8448", "8449");
    scene.publish();
    scene.ok(&["check"]).says("clinics 2: 2 entries");
    scene.now = "2026-03-03T12:00:00Z".into();
    let run = scene.run(&["check"]);
    run.refused("metadata-expired").says("lux-001 would refuse its boundary").says("role boundary does not verify");
    scene.run(&["pack", "--bundle", "out"]).refused("metadata-expired");
    assert!(!scene.path("out").exists());
    scene.ok(&["pack", "--bundle", "out", "--appliance", "lux-002"]);
    let file = format!("out/{}", scene.list("out")[0]);
    scene.ok(&["inspect", &file]).says("boundary of lux-002: none");
    scene.now = "2026-03-01T12:00:00Z".into();
    let stored = "site/repository/targets/boundary";
    let name = scene.list(stored).into_iter().find(|name| name.ends_with(".envelope.json")).unwrap();
    scene.edit(&format!("{stored}/{name}"), "10.20.0.0/16", "10.21.0.0/16");
    scene.run(&["check"]).refused("object-mismatch");
}

/// What an appliance saw: its report, with the watcher's rows.
fn report(rows: &Value) -> String {
    json!({
        "policy": Digest::of(b""), "allow": {"peers": [], "flows": [], "link": {}}, "attempts": 9,
        "drops": {"format": 1, "total": 9, "lost": 0, "rows": rows},
    })
    .to_string()
}

fn row(more: &Value) -> Value {
    let mut row = json!({
        "uid": 0, "unit": "chronyd.service", "direction": "out", "protocol": "udp", "address": "10.20.0.9", "port": 123,
        "count": 3, "first_seen": "2026-02-01T00:00:00Z", "last_seen": "2026-02-02T00:00:00Z",
    });
    for (name, value) in more.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

fn seen() -> Value {
    let many = (1..=4).map(|host| {
        row(&json!({"unit": "synapse.service", "protocol": "tcp", "port": 8448, "address": format!("10.20.7.{host}")}))
    });
    let others = [
        row(&json!({})),
        row(&json!({"count": 4, "last_seen": "2026-02-03T00:00:00Z"})),
        row(
            &json!({"unit": null, "uid": 33, "direction": "in", "protocol": "tcp", "port": 443, "address": "10.20.0.77"}),
        ),
        row(
            &json!({"unit": null, "uid": null, "direction": "in", "protocol": "icmp", "port": null, "address": "10.20.0.1"}),
        ),
        row(&json!({"unit": "resolved.service", "address": "192.0.2.53", "port": 53})),
        row(&json!({"unit": "app.service", "protocol": "tcp", "address": "10.20.1.7", "port": 8448})),
        row(&json!({"unit": "avahi.service", "address": "224.0.0.251", "port": 5353})),
        row(&json!({"protocol": "2", "port": null})),
        row(&json!({"direction": "forward"})),
    ];
    many.chain(others).collect::<Vec<_>>().into()
}

#[test]
fn what_an_appliance_saw_becomes_entries_that_check_accepts_and_comments_for_the_rest() {
    let scene = demo();
    scene.write("show.json", &report(&seen()));
    let inputs = scene.list("site/boundary");
    let run = scene.ok(&["boundary", "propose", "--from", "show.json", "clinics"]);
    run.says("show.json of 13 rows: 4 flows proposed, 1 beyond the envelope, 1 allowed already, 3 impossible.")
        .says("# A proposal, made from what an appliance saw")
        .says("# chronyd.service: 7 packets, 2026-02-01T00:00:00Z to 2026-02-03T00:00:00Z\n[[flow]]\npurpose = \"chronyd\"\n")
        .says("to = \"10.20.0.9\"\nports = \"123\"\n")
        .says("# synapse.service: 12 packets with 4 addresses of this network, ")
        .says("to = \"10.20.7.0/24\"\nports = \"8448\"\n")
        .says("# uid 33, unit unknown: 3 packets")
        .says("from = \"10.20.0.77\"\nports = \"443\"\n")
        .says("# sender unknown: 3 packets, 2026-02-01T00:00:00Z to 2026-02-02T00:00:00Z; of ICMP only echo can be allowed\n")
        .says("# Beyond the envelope; only another root could allow it, so it is left out:\n#   flow resolved out udp to 192.0.2.53 port 53: ")
        .says("# Allowed already:\n#   flow app out tcp to 10.20.1.7 port 8448: app.service: ")
        .says("#   out udp 224.0.0.251 port 5353, avahi.service: ")
        .says("no flow is of this protocol")
        .says("no boundary lets an appliance forward packets");
    assert_eq!(scene.list("site/boundary"), inputs, "nothing is written into the site");
    scene.write("site/boundary/proposed.toml", &run.stdout);
    let checked = scene.ok(&["--json", "boundary", "check", "proposed"]).json();
    assert_eq!(checked["boundaries"][0]["allow"]["flows"].as_array().unwrap().len(), 4);
    // Behind a boundary that ends in a table, as an operator would paste it.
    scene.write(CLINICS, &format!("{}{FLOW}[link]\ngateways = [\"10.20.0.1\"]\n{}", peer(""), run.stdout));
    scene.ok(&["boundary", "check"]);
    let said = scene.ok(&["--json", "boundary", "propose", "--from", "show.json"]).json();
    assert_eq!(said["proposal"]["flows"].as_array().unwrap().len(), 5, "no boundary was named that allows one already");
    scene.write("drops.json", &json!({"format": 1, "total": 3, "lost": 0, "rows": [row(&json!({}))]}).to_string());
    scene.ok(&["boundary", "propose", "--from", "drops.json"]).says("purpose = \"chronyd\"");
}

#[test]
fn words_of_an_appliance_cannot_become_entries_of_a_proposal() {
    let scene = demo();
    let entry = "x\n[[flow]]\npurpose = \"evil\"\ndirection = \"out\"\nprotocol = \"tcp\"\nto = \"10.20.0.66\"\nports = \"1\"\n#";
    let rows = json!([
        row(&json!({"unit": entry})),
        row(&json!({"unit": "\u{2028}\r--.service", "port": 7})),
        row(&json!({"unit": entry, "protocol": entry})),
        row(&json!({"unit": entry, "address": "192.0.2.1"})),
    ]);
    scene.write("show.json", &report(&rows));
    let run = scene.ok(&["boundary", "propose", "--from", "show.json"]);
    scene.write("site/boundary/proposed.toml", &run.stdout);
    let checked = scene.ok(&["--json", "boundary", "check", "proposed"]).json();
    let flows = checked["boundaries"][0]["allow"]["flows"].as_array().unwrap();
    assert_eq!(flows.len(), 2, "{}", run.stdout);
    assert!(flows.iter().all(|flow| flow["network"] == "10.20.0.9"), "{}", run.stdout);
    assert!(run.stdout.lines().all(|line| line != "purpose = \"evil\""), "{}", run.stdout);
}

#[test]
fn nothing_is_proposed_from_what_names_no_destination() {
    let scene = demo();
    let propose = |content: &str| {
        scene.write("from.json", content);
        scene.run(&["boundary", "propose", "--from", "from.json"])
    };
    propose(&json!({"format": 1, "boundary": {"attempts": 7, "units": ["x.service"]}}).to_string())
        .refused("usage-invalid")
        .says("from.json is a health report: it counts 7 attempts and names no destination")
        .says("`casemate-agent boundary show --json`");
    propose(&json!({"attempts": 0, "policy": "x"}).to_string()).refused("usage-invalid").says("nobody watches");
    propose("{}").refused("usage-invalid").says("no boundary report");
    propose("[[flow]]").refused("usage-invalid").says("is not JSON");
    propose(&report(&json!([{"address": "10.20.0.1"}]))).refused("usage-invalid").says("rows of another shape");
    propose(&report(&json!([row(&json!({"address": "host.example"}))]))).refused("usage-invalid");
    let plain = Scene::demo();
    plain.write("show.json", &report(&seen()));
    let run = plain.ok(&["boundary", "propose", "--from", "show.json"]);
    run.says("the root binds no envelope, so nothing can be allowed");
    assert!(!run.stdout.contains("\n[[flow]]"), "{}", run.stdout);
}

/// The fenced block of a page that begins with `head`.
fn block(page: &str, head: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let page = fs::read_to_string(path).unwrap();
    let (_, after) = page.split_once(head).unwrap_or_else(|| panic!("{head} is not in the page"));
    after.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_examples_of_the_pages_are_accepted_and_become_the_bytes_the_format_shows() {
    let scene = Scene::empty();
    scene.write("envelope.toml", &block("site.md", "```toml\n# boundary/envelope.toml\n"));
    scene.ok(&["init", "site", "--jurisdiction", "LU", "--demo", "--envelope", "envelope.toml"]);
    scene.write(CLINICS, &block("site.md", "```toml\n# boundary/clinics.toml\n"));
    scene
        .ok(&["boundary", "check"])
        .says("for tenant.north: no appliance of this site serves a tenant yet, so none gets it");
    scene.publish();
    for name in ["envelope", "clinics"] {
        let shown = block("format.md", &format!("```json {name}.json\n"));
        assert_eq!(String::from_utf8(target(&scene, name)).unwrap(), shown, "docs/format.md, {name}.json");
    }
}

#[test]
fn a_bundle_with_a_boundary_as_the_first_format_wrote_it_is_read_for_ever() {
    let mut scene = Scene::empty();
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/boundary-v1");
    for name in ["1.root.json", "clinics.casemate"] {
        fs::copy(golden.join(name), scene.path(name)).unwrap();
    }
    scene.now = "2026-03-02T00:00:00Z".into();
    let said = scene.ok(&["--json", "inspect", "--root", "1.root.json", "clinics.casemate"]).json();
    let boundary = &said["bundles"][0]["appliances"][0]["boundary"];
    assert_eq!(boundary["policy"], "1fa06094893e2c82336301e353edd6ff240a67f016c3dcea8f96e5ea5ca018a1");
    assert_eq!(boundary["document"], json!(Digest::of(block("format.md", "```json clinics.json\n").as_bytes())));
    assert_eq!(boundary["envelope"], json!(Digest::of(block("format.md", "```json envelope.json\n").as_bytes())));
    // What is for a tenant the appliance does not serve is not the appliance's.
    let others = json!([
        "flow federation out tcp to 10.20.1.0/24 port 8448",
        "gateway 10.20.0.1",
        "observe until 2026-12-01T00:00:00Z",
    ]);
    assert_eq!(boundary["entries"].as_array().unwrap()[1..], others.as_array().unwrap()[..]);
}

#[test]
fn an_appliance_is_enrolled_into_a_boundary_there_is() {
    let scene = demo();
    let file = scene.request("lux-003", 3);
    let enrol =
        |boundary: &str| scene.run(&["appliance", "enrol", &file, "--group", "clinics", "--boundary", boundary]);
    enrol("clinic").refused("site-invalid").says("--boundary: there is no boundary clinic; did you mean \"clinics\"?");
    assert_eq!(enrol("clinics").exit, 0);
    assert!(scene.read(CSV).ends_with("lux-003,,clinics,clinics\n"));
    scene.write("site/boundary/wards.toml", FLOW);
    enrol("wards").refused("site-invalid").says("appliances.csv:5: lux-003 has another boundary than --boundary says");
    // A file of older days has no such column: nothing is dropped in silence.
    scene.write(CSV, "id,serial,groups\nlux-001,,clinics\nlux-002,,clinics\nlux-003,,clinics\n");
    let other = scene.request("lux-004", 4);
    scene
        .run(&["appliance", "enrol", &other, "--group", "clinics", "--boundary", "clinics"])
        .refused("site-invalid")
        .says("appliances.csv:1: there is no column \"boundary\"; add it to the head and to every line");
}
