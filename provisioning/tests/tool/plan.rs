//! Rendering, staleness, what signers are shown.

use std::fs;

use crate::scene::Scene;

const BUNDLE: &str = "site/groups/clinics/bundle.toml";
const VALUES: &str = "site/groups/clinics/values/clinics.toml";
const OWN: &str = "site/groups/clinics/values/lux-001.toml";
const MOTD: &str = "site/groups/clinics/files/motd.in";

#[test]
fn every_mistake_of_the_site_is_shown_at_once_with_file_and_line() {
    let scene = Scene::demo();
    scene.edit(MOTD, "organisation", "organization");
    scene.edit(VALUES, "organisation = ", "unused = 1\norganisation = ");
    scene.edit(BUNDLE, "from   = \"files/motd.in\"", "from   = \"files/motd.inn\"");
    scene
        .run(&["plan"])
        .refused("site-invalid")
        .says("groups/clinics/bundle.toml:6: groups/clinics/files/motd.inn does not exist; did you mean \"motd.in\"?");
    scene.edit(BUNDLE, "motd.inn", "motd.in");
    scene
        .run(&["plan"])
        .refused("site-invalid")
        .says("groups/clinics/files/motd.in:1: {{ organization }} has no value; did you mean {{ organisation }}?")
        .says("groups/clinics/values/clinics.toml:2: unused is used by no rendered file of the group")
        .says("groups/clinics/values/clinics.toml:3: organisation is used by no rendered file");
    assert!(!scene.path("site/.plan").exists(), "nothing is kept of a site that is wrong");
}

#[test]
fn a_value_only_some_appliances_have_is_named_with_those_that_lack_it() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "clinics");
    scene.edit(MOTD, ".", " at {{ address }}.");
    scene.write(OWN, "address = \"10.0.0.1\"\n");
    scene.run(&["plan"]).refused("site-invalid").says("motd.in:1: {{ address }} has no value for lux-002");
    scene.write(OWN, "address = \"10.0.0.1\"\nadress = \"10.0.0.1\"\n");
    scene
        .run(&["plan"])
        .refused("site-invalid")
        .says("values/lux-001.toml:2: adress is used by no rendered file of the group; did you mean address?");
}

#[test]
fn values_for_somebody_who_is_not_there_are_refused() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.write("site/groups/clinics/values/lux-01.toml", "organisation = \"x\"\n");
    scene
        .run(&["plan"])
        .refused("site-invalid")
        .says("values/lux-01.toml: lux-01 is neither this group nor an appliance in it; did you mean \"lux-001\"?");
}

#[test]
fn a_source_that_leaves_the_group_by_a_symbolic_link_is_refused() {
    let scene = Scene::demo();
    fs::remove_file(scene.path(MOTD)).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", scene.path(MOTD)).unwrap();
    scene
        .run(&["plan"])
        .refused("site-invalid")
        .says("bundle.toml:6: groups/clinics/files/motd.in goes through a symbolic link");
}

#[test]
fn signers_see_the_summary_the_files_the_diff_and_who_is_affected() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "clinics");
    scene.publish();
    scene.edit(VALUES, "the clinics", "the hospitals");
    scene.edit(BUNDLE, "First bundle: a message of the day", "April");
    scene
        .ok(&["plan"])
        .says("clinics: April")
        .says("changed  clinics: motd (39 B -> 41 B)")
        .says("Affected: 2 appliances")
        .says("lux-001, lux-002: new generation of clinics")
        .says("-This appliance belongs to the clinics.")
        .says("+This appliance belongs to the hospitals.")
        .says("To be signed: group.clinics 2");
}

#[test]
fn only_the_appliance_whose_values_change_the_bytes_gets_a_manifest_of_its_own() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "clinics");
    scene.publish();
    scene.write(OWN, "organisation = \"the first clinic\"\n");
    let plan = scene.ok(&["--json", "plan"]).json();
    assert_eq!(plan["affected"].as_array().unwrap().len(), 1);
    assert_eq!(plan["affected"][0]["appliance"], "lux-001");
    assert_eq!(plan["files"][0]["appliances"], serde_json::json!(["lux-001"]));
    assert_eq!(plan["files"].as_array().unwrap().len(), 1);
    scene.ok(&["sign"]);
    scene.ok(&["check"]).says("2 appliances");
    let below = scene.list("site/repository/targets/groups/clinics/appliances");
    assert_eq!(below, ["lux-001"]);
    // The same bytes are no difference.
    scene.write(OWN, "organisation = \"the clinics\"\n");
    scene.publish();
    let signed = scene.read("site/repository/metadata/4.snapshot.json");
    assert!(signed.contains("\"group.clinics.json\""));
    assert!(!scene.read("site/repository/metadata/3.group.clinics.json").contains("appliances/lux-001"));
}

#[test]
fn what_is_the_same_for_many_appliances_is_told_once() {
    let scene = Scene::demo();
    scene.edit(MOTD, ".", " at {{ address }}.\nThe end.");
    for (id, seed) in [("lux-001", 1), ("lux-002", 2)] {
        scene.appliance(id, seed, "clinics");
        scene.write(&format!("site/groups/clinics/values/{id}.toml"), &format!("address = \"10.0.0.{seed}\"\n"));
    }
    scene.write("site/groups/clinics/files/shared", "x\n");
    scene.write(BUNDLE, &format!("{}\n[[file]]\npath = \"shared\"\n", scene.read(BUNDLE)));
    let plan = scene.ok(&["plan"]);
    plan.says("added    clinics: shared (2 B)").says("motd on lux-001 (").says("motd on lux-002 (");
    scene.ok(&["sign"]);
    scene.write("site/groups/clinics/files/shared", "y\n");
    let plan = scene.ok(&["plan"]);
    plan.says("changed  clinics: shared (2 B -> 2 B)").says("lux-001, lux-002: new generation of clinics");
    assert_eq!(plan.stdout.matches("-x").count(), 1, "{}", plan.stdout);
}

#[test]
fn a_plan_is_stale_as_soon_as_site_or_repository_changed() {
    let scene = Scene::demo();
    scene.run(&["sign"]).refused("plan-missing");
    for (file, from, to) in [
        (MOTD, "appliance", "machine"),
        (VALUES, "clinics", "wards"),
        ("site/site.toml", "90", "91"),
        (BUNDLE, "First", "Next"),
    ] {
        scene.ok(&["plan"]);
        scene.edit(file, from, to);
        let name = file.strip_prefix("site/").unwrap();
        scene.run(&["sign"]).refused("plan-stale").says(&format!("{name} changed since"));
    }
    scene.ok(&["plan"]);
    scene.write("site/groups/clinics/files/new", "x");
    scene.run(&["sign"]).refused("plan-stale").says("groups/clinics/files/new was added since");
    scene.ok(&["plan"]).says("warning: groups/clinics/files/new is listed in no [[file]]");
    fs::remove_file(scene.path("site/groups/clinics/files/new")).unwrap();
    scene.run(&["sign"]).refused("plan-stale").says("was removed since");
    scene.ok(&["plan"]);
    // Somebody else signs in between: the plan was made from another state.
    let kept = scene.path("kept");
    fs::rename(scene.path("site/.plan"), &kept).unwrap();
    scene.publish();
    fs::rename(&kept, scene.path("site/.plan")).unwrap();
    scene.run(&["sign"]).refused("plan-stale").says("something else was signed since");
    assert_eq!(
        scene.list("site/repository/metadata").iter().filter(|name| name.ends_with("timestamp.json")).count(),
        3
    );
}

#[test]
fn a_plan_whose_bytes_were_changed_is_not_signed() {
    let scene = Scene::demo();
    scene.ok(&["plan"]);
    let objects = scene.list("site/.plan/objects");
    scene.write(&format!("site/.plan/objects/{}", objects[0]), "something else");
    scene.run(&["sign"]).refused("state-damaged").says("is not what the plan says");
    assert!(!scene.path("site/repository/metadata/2.timestamp.json").exists());
}

#[test]
fn only_roles_that_changed_get_a_new_version() {
    let scene = Scene::demo();
    scene.write("site/groups/labs/bundle.toml", "format = 1\nsummary = \"labs\"\n");
    scene.publish();
    scene.edit(BUNDLE, "First", "Second");
    scene.publish();
    let names = scene.list("site/repository/metadata");
    let versions = |role: &str| names.iter().filter(|name| name.split_once('.').unwrap().1 == role).count();
    assert_eq!(versions("group.labs.json"), 1);
    assert_eq!(versions("group.clinics.json"), 2);
    assert_eq!(versions("targets.json"), 2);
    assert_eq!(versions("snapshot.json"), 3);
    scene.ok(&["plan"]).says("Nothing differs from the last signed state; it expires 2026-05-30T12:00:00Z");
    scene.run(&["sign"]).refused("plan-missing");
    scene.ok(&["plan", "--renew"]).says("To be signed: targets 3, group.clinics 3, group.labs 2");
    scene.ok(&["sign"]);
}

#[test]
fn what_appliances_would_refuse_is_an_error_before_anybody_signs() {
    let scene = Scene::demo();
    let text = scene.read(BUNDLE);
    for (more, what) in [
        ("[apply]\nconfirm = [\"operator\"]\n", "\"operator\" cannot confirm"),
        ("[apply]\nconfirm = [\"consumers\"]\n", "declares none"),
        ("[apply]\nhold = \"20s\"\ndeadline = \"10s\"\n[[probe]]\ntcp = \"127.0.0.1:1\"\n", "does not fit into"),
        ("[[probe]]\nhttp = \"http://10.0.0.1/\"\n", "is no http:// URL of a loopback address"),
        ("[[probe]]\ntcp = \"127.0.0.1:1\"\nunit = \"a.service\"\n", "a probe asks exactly one thing"),
    ] {
        scene.write(BUNDLE, &format!("{text}\n{more}"));
        scene.run(&["plan"]).refused("site-invalid").says(what);
    }
    scene.write(BUNDLE, &format!("{text}\n[consumer.motd]\nready = \"http://127.0.0.1:1/\"\n"));
    scene.ok(&["plan"]).says("warning: clinics: nobody waits for motd to be ready");
    scene.appliance("lux-001", 1, "clinics");
    scene.write(BUNDLE, &format!("{text}\n[apply]\nconfirm = [\"control-plane\"]\n"));
    scene.ok(&["plan"]).says("warning: clinics: the control plane shall confirm, and no peer leads there from lux-001");
}

#[test]
fn a_trial_is_shown_to_signers_with_its_defaults_and_again_by_inspect() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "clinics");
    scene.publish();
    scene.edit(BUNDLE, "First bundle", "With a trial");
    let more = "[apply]\nwindow = \"02:00-05:00\"\nhold = \"15s\"\nconfirm = [\"consumers\"]\n\
        [[probe]]\ntcp = \"127.0.0.1:8448\"\n[[probe]]\nunit = \"nginx.service\"\n\
        [consumer.motd]\nready = \"http://127.0.0.1:8080/ready\"\n";
    scene.write(BUNDLE, &format!("{}{more}", scene.read(BUNDLE)));
    scene
        .ok(&["plan"])
        .says("changed  clinics: [apply] hold none -> 15s")
        .says("changed  clinics: [[probe]] none -> 127.0.0.1:8448 takes connections; nginx.service is active")
        .says("changed  clinics: trial none -> motd ready and 3 probes held 15 s within 600 s, or back")
        .says("changed  clinics: [consumer.motd] none -> follows the agent, ready at http://127.0.0.1:8080/ready");
    scene.write("site/groups/clinics/values/lux-002.toml", "organisation = \"the second clinic\"\n");
    scene.ok(&["plan"]);
    scene.ok(&["sign"]);
    scene.ok(&["check"]).says("2 appliances would accept");
    scene.ok(&["pack", "--bundle", "out"]);
    let bundle = format!("out/{}", scene.list("out")[0]);
    let applied = "in the window 02:00-05:00; motd ready and 3 probes held 15 s within 600 s, or back";
    scene.ok(&["inspect", &bundle]).says(applied);
    // A manifest for one appliance alone asks the same.
    let said = scene.ok(&["--json", "inspect", &bundle]).json();
    let owner = |index: usize| said["bundles"][0]["appliances"][index]["owners"][0].clone();
    assert_ne!(owner(0)["manifest"], owner(1)["manifest"]);
    for owner in [owner(0), owner(1)] {
        assert_eq!(
            (owner["apply"]["hold"].as_str(), owner["apply"]["probes"].as_array().unwrap().len()),
            (Some("15s"), 2)
        );
        assert_eq!(owner["consumers"]["motd"]["ready"], "http://127.0.0.1:8080/ready");
    }
}

#[test]
fn a_site_never_moves_to_another_jurisdiction() {
    let scene = Scene::demo();
    scene.edit("site/site.toml", "\"LU\"", "\"BE\"");
    scene.run(&["plan"]).refused("site-invalid").says("site.toml:3: jurisdiction is BE, the root binds LU");
}

#[test]
fn a_group_and_an_appliance_leave_as_they_came() {
    let scene = Scene::demo();
    scene.write("site/groups/labs/bundle.toml", "format = 1\nsummary = \"labs\"\n");
    scene.appliance("lux-001", 1, "clinics");
    scene.appliance("lux-002", 2, "labs");
    scene.publish();
    fs::remove_dir_all(scene.path("site/groups/labs")).unwrap();
    scene.run(&["plan"]).refused("site-invalid").says("appliances.csv:4: there is no group labs");
    scene.edit("site/appliances.csv", "lux-002,,labs,\n", "");
    scene.run(&["plan"]).refused("site-invalid").says("appliances/lux-002.json: lux-002 has no line");
    fs::remove_file(scene.path("site/appliances/lux-002.json")).unwrap();
    scene.ok(&["plan"]).says("group labs goes").says("lux-002: no longer addressed; keeps what it has");
    scene.ok(&["sign"]);
    scene.ok(&["check"]).says("1 appliance would accept");
    // TUF keeps a role's entry in the snapshot once it was there; the version goes on when the group comes back.
    assert!(scene.read("site/repository/metadata/3.snapshot.json").contains("group.labs.json"));
    scene.write("site/groups/labs/bundle.toml", "format = 1\nsummary = \"labs\"\n");
    scene.ok(&["plan"]).says("group.labs 2");
    scene.ok(&["sign"]);
    scene.ok(&["check"]);
}

#[test]
fn signers_are_shown_when_and_how_a_group_is_applied_too() {
    let scene = Scene::demo();
    scene.publish();
    scene.edit(BUNDLE, "First bundle", "In the night");
    let text = scene.read(BUNDLE);
    let service = "[consumer.motd]\nunit = \"motd.service\"\non_change = \"restart\"\n";
    scene.write(BUNDLE, &format!("{text}consumer = \"motd\"\n[apply]\nwindow = \"Sun 02:00-05:00\"\n{service}"));
    scene
        .ok(&["plan"])
        .says("clinics: In the night")
        .says("changed  clinics: [apply] window none -> Sun 02:00-05:00")
        .says("changed  clinics: [consumer.motd] none -> restart of motd.service on change")
        .says("changed  clinics: motd is read by none -> motd");
}

#[test]
fn one_broken_file_does_not_make_the_others_look_wrong() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.edit(BUNDLE, "summary", "sumary");
    let run = scene.run(&["plan"]);
    run.refused("site-invalid").says("unknown field `sumary`");
    assert!(!run.stderr.contains("there is no group"), "{run:?}");
    scene.edit(BUNDLE, "sumary", "summary");
    scene.edit("site/appliances.csv", "lux-001,,clinics,", "lux-001,,clinics,\nnot a name,,clinics,");
    let run = scene.run(&["plan"]);
    run.refused("site-invalid").says("appliances.csv:4");
    assert!(!run.stderr.contains("to retire it"), "nobody is told to remove an enrolment for a typing error: {run:?}");
    scene.edit("site/appliances.csv", "not a name", "lux-009");
    fs::remove_file(scene.path(MOTD)).unwrap();
    let run = scene.run(&["plan"]);
    run.refused("site-invalid").says("motd.in does not exist; put it there");
    assert!(!run.stderr.contains("is used by no rendered file"), "{run:?}");
}
