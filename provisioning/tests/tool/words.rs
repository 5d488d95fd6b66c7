//! Help, man pages, completions, errors.

use crate::scene::Scene;

#[test]
fn without_a_site_every_command_says_how_to_get_one() {
    let scene = Scene::empty();
    for command in [&["plan"][..], &["sign"], &["check"], &["appliance", "list"], &["pack", "--bundle", "x"]] {
        let run = scene.run(command);
        assert_eq!(run.refused("site-invalid").exit, 2);
        run.says("casemate init");
    }
}

#[test]
fn an_error_is_data_too_when_json_is_asked_for() {
    let scene = Scene::empty();
    let run = scene.run(&["--json", "plan"]);
    let error = &run.json()["error"];
    assert_eq!(error["code"], "site-invalid");
    assert!(error["remedy"].as_str().unwrap().contains("casemate init"));
}

#[test]
fn a_wrong_command_line_is_an_error_like_any_other() {
    let scene = Scene::empty();
    let run = scene.run(&["plan", "--jsn"]);
    assert_eq!(run.refused("usage-invalid").exit, 2);
    run.says("error: unexpected argument '--jsn' found (usage-invalid)").says("  to do: ").says("Usage: casemate plan");
    let error = scene.run(&["--json", "sign", "request"]).json()["error"].clone();
    assert_eq!(error["code"], "usage-invalid");
    assert!(error["what"].as_str().unwrap().ends_with("not provided: --output <FILE>"), "{error}");
}

#[test]
fn man_pages_and_completions_come_from_the_same_definitions() {
    let scene = Scene::empty();
    scene.ok(&["man", "man"]);
    let pages = scene.list("man");
    for page in ["casemate.1", "casemate-init.1", "casemate-sign-finish.1", "casemate-receipt-verify.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} not in {pages:?}");
    }
    assert!(scene.read("man/casemate.1").contains("Exit codes"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(scene.ok(&["completions", shell]).stdout.contains("appliance"), "{shell}");
    }
}

#[test]
fn the_commands_are_these() {
    let help = Scene::empty().ok(&["--help"]).stdout;
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let expected = [
        "init",
        "key",
        "appliance",
        "boundary",
        "ca",
        "plan",
        "sign",
        "check",
        "pack",
        "inspect",
        "receipt",
        "root",
        "man",
        "completions",
        "help",
    ];
    assert_eq!(commands, expected);
}

#[test]
fn a_fingerprint_is_the_digest_of_the_root_s_bytes() {
    let scene = Scene::demo();
    let raw = std::fs::read(scene.path("site/repository/metadata/1.root.json")).unwrap();
    let digest = casemate_protocol::digest::Digest::of(&raw).to_string();
    assert!(scene.ok(&["root", "fingerprint"]).stdout.contains(&digest));
    assert!(scene.ok(&["root", "fingerprint", "--all"]).stdout.starts_with("1  "));
}
