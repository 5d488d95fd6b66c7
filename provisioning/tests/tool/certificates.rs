//! The authority, what it issues and revokes, and that OpenSSL reads it as we do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::scene::{Scene, certificate_request, device_keys, request_with};

/// A demo site with an authority and the confirmed appliance lux-001.
fn certified() -> Scene {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.ok(&["ca", "init"]);
    scene
}

/// What OpenSSL says, and whether it is content.
#[track_caller]
fn openssl(scene: &Scene, args: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").current_dir(scene.root()).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{error}: apt-get install openssl"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), text.concat())
}

/// Judges a certificate at the scene's time against authority and revocation list.
fn verify(scene: &Scene, certificate: &str, purpose: &str) -> (bool, String) {
    // 2026-03-01T12:00:00Z, when every scene starts.
    let args = ["verify", "-x509_strict", "-attime", "1772366400", "-check_ss_sig", "-purpose", purpose, "-CAfile"];
    let rest = ["site/ca/authority.pem", "-CRLfile", "site/ca/crl.pem", "-crl_check", certificate];
    openssl(scene, &[&args[..], &rest].concat())
}

#[test]
fn an_authority_is_made_once_and_its_private_key_is_never_in_the_site() {
    let scene = Scene::demo();
    let made = scene.ok(&["--json", "ca", "init"]).json();
    let mode = fs::metadata(scene.path("site-keys/certificate-authority.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(scene.list("site/ca"), ["authority.pem", "crl.pem", "issued.csv"]);
    for file in scene.list("site/ca") {
        assert!(!scene.read(&format!("site/ca/{file}")).contains("PRIVATE"), "{file}");
    }
    scene.run(&["ca", "init"]).refused("exists");
    assert_eq!(scene.ok(&["ca", "pin", "site/ca/authority.pem"]).stdout.trim(), made["spki"].as_str().unwrap());
    // The other keys of the folder still sign.
    scene.publish();
    scene.run(&["ca", "init", "--keys", "site/keys"]).refused("exists");
}

#[test]
fn openssl_accepts_what_is_issued_and_refuses_what_is_revoked() {
    for algorithm in ["ed25519", "p256"] {
        let scene = Scene::demo();
        scene.appliance("lux-001", 1, "clinics");
        scene.ok(&["ca", "init", "--algorithm", algorithm]);
        scene.ok(&["ca", "issue", "appliance", "lux-001"]);
        let key =
            ["--key-out", "mirror.key.pem", "--algorithm", algorithm, "--address", "10.20.0.5", "--address", "::1"];
        scene.ok(&[&["ca", "issue", "service", "mirror"], &key[..]].concat());
        let request = ["req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "ops.key", "-subj", "/CN=whoever"];
        let (made, text) = openssl(&scene, &[&request[..], &["-out", "ops.csr"]].concat());
        assert!(made, "{text}");
        scene.ok(&["ca", "issue", "operator", "ops-1", "--csr", "ops.csr"]);
        let file = |kind: &str, id: &str| format!("site/ca/certificates/{kind}/{id}.pem");
        for (kind, id, purposes) in [
            ("appliance", "lux-001", &["sslclient", "sslserver"][..]),
            ("service", "mirror", &["sslclient", "sslserver"]),
            ("operator", "ops-1", &["sslclient"]),
        ] {
            for purpose in purposes {
                let (good, text) = verify(&scene, &file(kind, id), purpose);
                assert!(good, "{algorithm} {kind} {purpose}: {text}");
            }
            let (_, text) = openssl(&scene, &["x509", "-in", &file(kind, id), "-noout", "-text"]);
            assert!(text.contains(&format!("URI:casemate://LU/{kind}/{id}")), "{text}");
            assert!(text.contains(&format!("Subject: CN={id}")) || text.contains(&format!("CN = {id}")), "{text}");
            assert!(text.contains("CA:FALSE") && text.contains("Digital Signature"), "{text}");
            for absent in ["CRL Distribution", "Authority Information Access", "OCSP", "http"] {
                assert!(!text.contains(absent), "{absent} in {text}");
            }
        }
        let (good, text) = verify(&scene, &file("operator", "ops-1"), "sslserver");
        assert!(!good, "a person is no server: {text}");
        let (_, text) =
            openssl(&scene, &["x509", "-in", &file("service", "mirror"), "-noout", "-ext", "subjectAltName"]);
        assert!(text.contains("IP Address:10.20.0.5") && text.contains("IP Address:0:0:0:0:0:0:0:1"), "{text}");
        let (good, text) = openssl(&scene, &["pkey", "-in", "mirror.key.pem", "-noout"]);
        assert!(good, "{text}");
        scene.ok(&["ca", "revoke", "operator", "ops-1"]);
        let (good, text) =
            openssl(&scene, &["crl", "-in", "site/ca/crl.pem", "-noout", "-text", "-CAfile", "site/ca/authority.pem"]);
        assert!(good && text.contains("verify OK") && text.contains("CRL Number"), "{text}");
        let (good, text) = verify(&scene, &file("operator", "ops-1"), "sslclient");
        assert!(!good && text.contains("revoked"), "{text}");
        assert!(verify(&scene, &file("appliance", "lux-001"), "sslclient").0);
    }
}

#[test]
fn the_pin_is_what_openssl_computes() {
    let scene = certified();
    scene.ok(&["ca", "issue", "service", "mirror", "--key-out", "mirror.key.pem", "--algorithm", "p256"]);
    let (_, pem) = openssl(&scene, &["pkey", "-in", "mirror.key.pem", "-pubout"]);
    scene.write("mirror.pub", &pem);
    openssl(&scene, &["pkey", "-pubin", "-in", "mirror.pub", "-outform", "DER", "-out", "mirror.spki"]);
    let (_, digest) = openssl(&scene, &["dgst", "-sha256", "-r", "mirror.spki"]);
    let pin = scene.ok(&["ca", "pin", "site/ca/certificates/service/mirror.pem"]).stdout;
    assert_eq!(digest.split(' ').next().unwrap(), pin.trim());
    let (_, der) = openssl(
        &scene,
        &["x509", "-in", "site/ca/certificates/service/mirror.pem", "-outform", "DER", "-out", "m.der"],
    );
    assert_eq!(scene.ok(&["ca", "pin", "m.der"]).stdout, pin, "{der}");
    scene.run(&["ca", "pin", "mirror.pub"]).refused("key-invalid");
}

#[test]
fn an_appliance_gets_its_certificate_and_news_of_revocations_with_the_plan() {
    let mut scene = certified();
    scene
        .ok(&["plan"])
        .says("lux-001 has no certificate and makes no connections: `casemate ca issue appliance lux-001`");
    scene.ok(&["ca", "issue", "appliance", "lux-001"]).says("lux-001 gets it with the next bundle");
    scene.ok(&["plan"]).says("addressed for the first time, with clinics; new certificate until 2028-03-30");
    scene.ok(&["sign"]);
    scene.ok(&["check"]).says("certificate until 2028-03-30; 1 authority; 0 revoked");
    let check = scene.ok(&["--json", "check"]).json();
    assert_eq!(check["connections"][0]["transport"]["certificate"]["name"], "casemate://LU/appliance/lux-001");
    assert_eq!(check["connections"][0]["transport"]["poll_seconds"], 3600);
    scene.ok(&["pack", "--bundle", "out"]);
    let bundle = format!("out/{}", scene.list("out")[0]);
    scene.ok(&["inspect", &bundle]).says("connections of lux-001: certificate until 2028-03-30");

    scene.now = "2026-05-01T12:00:00Z".into();
    scene.ok(&["ca", "issue", "operator", "ops-1", "--key-out", "ops.key.pem"]);
    scene.ok(&["plan"]).says("Nothing differs");
    scene.ok(&["ca", "revoke", "operator", "ops-1"]);
    scene.ok(&["ca", "renew", "appliance", "lux-001"]);
    scene.edit("site/site.toml", "[expiry_days]", "[transport]\npoll = \"10m\"\n\n[expiry_days]");
    let plan = scene.ok(&["plan"]);
    plan.says("lux-001: certificate renewed until 2028-05-30 (was 2028-03-30); revoked: operator ops-1");
    plan.says("seconds between polls 3600 -> 600");
    scene.ok(&["sign"]);
    scene.ok(&["ca", "crl"]);
    scene.ok(&["plan"]).says("lux-001: newer revocation list");
    scene.ok(&["sign"]);
    scene.ok(&["ca", "revoke", "appliance", "lux-001"]);
    scene.ok(&["plan"]).says("certificate taken away: it makes no connections; revoked: appliance lux-001");
}

#[test]
fn a_site_without_an_authority_plans_as_before() {
    let scene = Scene::demo();
    scene.appliance("lux-001", 1, "clinics");
    scene.ok(&["plan"]);
    scene.ok(&["sign"]);
    assert!(scene.ok(&["--json", "check"]).json()["connections"][0]["transport"].is_null());
    scene.run(&["ca", "list"]).refused("authority-invalid").says("casemate ca init");
    scene.run(&["ca", "issue", "appliance", "lux-001"]).refused("authority-invalid");
}

#[test]
fn a_certificate_needs_proof_of_the_key_and_somebody_who_compared_the_words() {
    let scene = Scene::demo();
    scene.ok(&["ca", "init"]);
    scene.run(&["ca", "issue", "appliance", "lux-001"]).refused("unknown-appliance");
    let file = scene.request("lux-001", 1);
    scene.ok(&["appliance", "enrol", &file, "--group", "clinics"]);
    scene.run(&["ca", "issue", "appliance", "lux-001"]).refused("usage-invalid").says("confirm lux-001 --words");
    // Enrolled by a program that made no certificate request.
    fs::write(scene.path("lux-002.req"), request_with(2, None)).unwrap();
    let words =
        scene.ok(&["--json", "appliance", "enrol", "lux-002.req", "--group", "clinics"]).json()["words"].clone();
    scene.ok(&["appliance", "confirm", "lux-002", "--words", words.as_str().unwrap()]);
    scene.run(&["ca", "issue", "appliance", "lux-002"]).refused("usage-invalid").says("--id lux-002");
    let again = scene.request("lux-002", 2);
    scene.ok(&["appliance", "enrol", &again]);
    scene.ok(&["ca", "issue", "appliance", "lux-002"]);
    scene.ok(&["appliance", "list"]).says("lux-002  confirmed");
}

#[test]
fn a_certificate_request_by_another_key_or_changed_on_the_way_is_refused_at_enrolment() {
    let scene = Scene::demo();
    let [_, own, _] = device_keys(1);
    let [_, other, _] = device_keys(2);
    let mut changed = certificate_request(own);
    *changed.last_mut().unwrap() ^= 1;
    for (csr, why) in [(certificate_request(other), "another key"), (changed, "its own private key")] {
        fs::write(scene.path("lux-001.req"), request_with(1, Some(&csr))).unwrap();
        let run = scene.run(&["appliance", "enrol", "lux-001.req", "--group", "clinics"]);
        run.refused("key-invalid").says(why);
    }
    assert!(!scene.path("site/appliances/lux-001.json").exists());
}

#[test]
fn a_renewed_certificate_is_for_the_same_key_and_addresses() {
    let mut scene = certified();
    scene.ok(&["ca", "issue", "service", "mirror", "--key-out", "k.pem", "--address", "10.20.0.5"]);
    let pin = |scene: &Scene| scene.ok(&["ca", "pin", "site/ca/certificates/service/mirror.pem"]).stdout;
    let before = pin(&scene);
    scene.now = "2027-02-01T00:00:00Z".into();
    scene.ok(&["--json", "ca", "renew", "service", "--due", "30"]);
    assert_eq!(scene.ok(&["--json", "ca", "list"]).json()["certificates"][0]["not_after"], "2027-04-05T12:00:00Z");
    let run = scene.ok(&["--json", "ca", "renew", "service", "--due", "90"]).json();
    assert_eq!(run["certificates"][0]["not_after"], "2028-03-07T00:00:00Z");
    assert_eq!(pin(&scene), before);
    let (_, text) = openssl(&scene, &["x509", "-in", "site/ca/certificates/service/mirror.pem", "-noout", "-text"]);
    assert!(text.contains("IP Address:10.20.0.5"), "{text}");
    assert_eq!(scene.ok(&["--json", "ca", "list", "--all"]).json()["certificates"].as_array().unwrap().len(), 2);
    scene.ok(&["ca", "revoke", "service", "mirror"]);
    scene.run(&["ca", "renew", "service", "mirror"]).refused("certificate-refused");
    scene.run(&["ca", "renew", "service", "nobody"]).refused("not-found");
}

#[test]
fn one_key_has_one_holder_and_a_revoked_one_is_not_certified_again_by_accident() {
    let scene = certified();
    let request = ["req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "a.key", "-subj", "/", "-out", "a.csr"];
    assert!(openssl(&scene, &request).0);
    scene.ok(&["ca", "issue", "operator", "ops-1", "--csr", "a.csr"]);
    scene
        .run(&["ca", "issue", "operator", "ops-2", "--csr", "a.csr"])
        .refused("certificate-refused")
        .says("operator ops-1");
    scene.run(&["ca", "issue", "operator", "ops-1", "--key-out", "b.key"]).refused("exists").says("--another-key");
    assert!(!scene.path("b.key").exists(), "a key without a certificate is no use");
    scene.ok(&["ca", "issue", "operator", "ops-1", "--key-out", "b.key", "--another-key"]);
    scene.ok(&["ca", "revoke", "operator", "ops-1"]).says("Revoked 2 certificates");
    for id in ["ops-1", "ops-2"] {
        scene.run(&["ca", "issue", "operator", id, "--csr", "a.csr"]).refused("certificate-refused").says("revoked on");
    }
    scene.ok(&["ca", "issue", "operator", "ops-1", "--csr", "a.csr", "--even-if-revoked"]);
}

#[test]
fn a_key_is_renewed_no_more_once_a_certificate_for_it_was_revoked() {
    let scene = certified();
    let issued = scene.ok(&["--json", "ca", "issue", "publisher", "p-1", "--key-out", "p.key", "--days", "20"]).json();
    scene.ok(&["ca", "issue", "publisher", "p-2", "--key-out", "q.key", "--days", "20"]);
    scene.ok(&["ca", "renew", "publisher", "p-1", "--days", "20"]);
    let serial = issued["certificates"][0]["serial"].as_str().unwrap();
    scene.ok(&["ca", "revoke", "publisher", "p-1", "--serial", serial]).says("Revoked 1 certificate");
    // The newest certificate is not the one that was revoked: only the key is the same.
    scene.run(&["ca", "renew", "publisher", "p-1"]).refused("certificate-refused").says("this very key was revoked");
    let due = scene.ok(&["--json", "ca", "renew", "publisher", "--due", "30", "--days", "25"]).json();
    assert_eq!(due["certificates"].as_array().unwrap().len(), 1, "the others are renewed: {due}");
    assert_eq!(due["certificates"][0]["name"], "casemate://LU/publisher/p-2");
    scene.ok(&["ca", "renew", "publisher", "p-1", "--even-if-revoked"]);
}

#[test]
fn what_has_expired_is_revoked_all_the_same() {
    let mut scene = certified();
    let request = ["req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "a.key", "-subj", "/", "-out", "a.csr"];
    assert!(openssl(&scene, &request).0);
    scene.ok(&["ca", "issue", "operator", "ops-1", "--csr", "a.csr", "--days", "10"]);
    scene.now = "2026-05-01T12:00:00Z".into();
    scene.ok(&["ca", "revoke", "operator", "ops-1"]).says("Revoked 1 certificate");
    scene.run(&["ca", "issue", "operator", "ops-1", "--csr", "a.csr"]).refused("certificate-refused");
    scene.ok(&["ca", "revoke", "operator", "ops-1"]).says("is revoked already");
}

#[test]
fn a_revoked_services_key_goes_to_every_appliance_and_is_never_dropped_by_date() {
    let mut scene = certified();
    let request = ["req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "m.key", "-subj", "/", "-out", "m.csr"];
    assert!(openssl(&scene, &request).0);
    scene.ok(&["ca", "issue", "service", "mirror", "--csr", "m.csr", "--days", "30"]);
    scene.ok(&["ca", "issue", "operator", "ops-1", "--key-out", "o.key", "--days", "30"]);
    let pin = scene.ok(&["ca", "pin", "site/ca/certificates/service/mirror.pem"]).stdout.trim().to_owned();
    scene.ok(&["plan"]);
    scene.ok(&["sign"]);
    scene.ok(&["ca", "revoke", "service", "mirror"]);
    scene.ok(&["ca", "revoke", "operator", "ops-1"]);
    scene.ok(&["plan"]).says(&format!("key revoked, whoever pins it: service mirror ({pin})"));
    scene.ok(&["sign"]);
    let keys =
        |scene: &Scene| scene.ok(&["--json", "check"]).json()["connections"][0]["transport"]["revoked_keys"].clone();
    assert_eq!(keys(&scene), serde_json::json!([pin]), "and no person's");
    // Long after both have expired.
    scene.now = "2027-03-01T12:00:00Z".into();
    let crl = scene.ok(&["--json", "ca", "crl"]).json();
    assert_eq!(crl["revoked"].as_array().unwrap().len(), 1, "{crl}");
    scene.ok(&["plan"]).says("no more on a revocation list: operator ops-1");
    scene.ok(&["sign"]);
    assert_eq!(keys(&scene), serde_json::json!([pin]));
    scene.ok(&["ca", "issue", "service", "mirror", "--csr", "m.csr", "--even-if-revoked"]);
    scene.ok(&["plan"]).says(&format!("key revoked no more: service mirror ({pin})"));
}

#[test]
fn a_plan_names_who_is_on_no_list_any_more_and_an_older_list() {
    let scene = certified();
    scene.ok(&["ca", "issue", "appliance", "lux-001"]);
    scene.ok(&["ca", "issue", "operator", "ops-1", "--key-out", "o.key"]);
    let [register, list] = ["site/ca/issued.csv", "site/ca/crl.pem"].map(|file| scene.read(file));
    scene.ok(&["ca", "revoke", "operator", "ops-1"]);
    scene.ok(&["plan"]);
    scene.ok(&["sign"]);
    // The folder as it was before: from a backup, say.
    scene.write("site/ca/issued.csv", &register);
    scene.write("site/ca/crl.pem", &list);
    let plan = scene.ok(&["plan"]);
    plan.says("no more on a revocation list: operator ops-1");
    plan.says("an older revocation list or none: appliances stay with the newer one they have");
}

#[test]
fn private_keys_are_made_outside_the_site_alone_and_options_must_fit() {
    let scene = certified();
    for args in [
        &["ca", "issue", "operator", "ops-1", "--key-out", "site/ops.key"][..],
        &["ca", "issue", "operator", "ops-1"],
        &["ca", "issue", "appliance", "lux-001", "--key-out", "l.key"],
        &["ca", "issue", "operator", "ops-1", "--key-out", "o.key", "--address", "10.0.0.1"],
        &["ca", "issue", "operator", "ops-1", "--key-out", "o.key", "--csr", "a.csr"],
        &["ca", "issue", "service", "m", "--key-out", "o.key", "--days", "3660"],
    ] {
        let run = scene.run(args);
        // The authority's own life is as long: only the last would outlive it, by nothing.
        if args.contains(&"--days") {
            assert_eq!(run.exit, 0, "{run:?}");
        } else {
            run.refused("usage-invalid");
        }
    }
    assert!(!scene.path("l.key").exists() && !scene.path("site/ops.key").exists());
    fs::rename(scene.path("site-keys/certificate-authority.pem"), scene.path("away.pem")).unwrap();
    scene.run(&["ca", "revoke", "service", "m"]).refused("key-invalid");
    assert!(!scene.read("site/ca/issued.csv").contains("Z,2026"), "nothing is revoked without a list that says so");
}

#[test]
fn a_certificate_never_outlives_the_authority() {
    let scene = Scene::demo();
    scene.ok(&["ca", "init", "--days", "100"]);
    let run = scene.run(&["ca", "issue", "service", "m", "--key-out", "m.key", "--days", "101"]);
    run.refused("usage-invalid").says("2026-06-09T12:00:00Z");
    scene.ok(&["ca", "issue", "service", "m", "--key-out", "m.key", "--days", "100"]);
}

#[test]
fn what_an_interrupted_revocation_leaves_is_named_and_mended() {
    let scene = certified();
    scene.ok(&["ca", "issue", "operator", "ops-1", "--key-out", "o.key"]);
    let list = scene.read("site/ca/crl.pem");
    scene.ok(&["ca", "revoke", "operator", "ops-1"]);
    scene.write("site/ca/crl.pem", &list);
    scene.run(&["plan"]).refused("site-invalid").says("operator ops-1 is revoked").says("casemate ca crl");
    scene.ok(&["ca", "crl"]).says("1 revoked certificate");
    scene.ok(&["plan"]);
    scene.write("site/ca/crl.pem", "");
    scene.run(&["plan"]).refused("site-invalid").says("casemate ca crl");
    scene.ok(&["ca", "crl"]);
    scene.ok(&["plan"]);
}

#[test]
fn certificates_of_another_authority_or_name_do_not_pass_for_ours() {
    let scene = certified();
    scene.ok(&["ca", "issue", "appliance", "lux-001"]);
    let own = "site/ca/certificates/appliance/lux-001.pem";
    let good = scene.read(own);
    let stranger = certified();
    stranger.ok(&["ca", "issue", "appliance", "lux-001"]);
    scene.write(own, &stranger.read(own));
    scene.run(&["plan"]).refused("site-invalid").says("no authority of this site has signed this");
    // Unless that authority is accepted as well.
    scene.write(
        "site/ca/anchors/other.pem",
        &(stranger.read("site/ca/authority.pem") + &stranger.read("site/ca/crl.pem")),
    );
    scene.ok(&["plan"]).says("accepts certificates of 2 authorities");
    let anchor = scene.read("site/ca/authority.pem");
    for more in 0..3 {
        scene.write(&format!("site/ca/anchors/more-{more}.pem"), &anchor);
    }
    scene.run(&["plan"]).refused("transport-invalid").says("5 anchors, at most 4 are allowed");
    for more in 0..3 {
        fs::remove_file(scene.path(&format!("site/ca/anchors/more-{more}.pem"))).unwrap();
    }
    scene.write(own, &good);
    scene.write("site/ca/certificates/appliance/lux-009.pem", &good);
    scene.run(&["plan"]).refused("site-invalid").says("this is no certificate of casemate://LU/appliance/lux-009");
}

#[test]
fn one_authority_follows_another_as_the_page_says_and_nobody_is_locked_out() {
    let scene = certified();
    scene.ok(&["ca", "issue", "appliance", "lux-001"]);
    scene.ok(&["ca", "issue", "operator", "ops-1", "--key-out", "ops.key"]);
    scene.publish();
    let page =
        fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/certificates.md")).unwrap();
    let (_, steps) = page.split_once("```\nmkdir").unwrap();
    let steps = format!("mkdir{}", steps.split_once("```").unwrap().0);
    let tool = format!("{} --now {}", env!("CARGO_BIN_EXE_casemate"), scene.now);
    let script = steps.replace("casemate ca", &format!("{tool} ca"));
    let run = Command::new("sh").current_dir(scene.root()).args(["-euc", &script]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let (good, text) = verify(&scene, "site/ca/certificates/appliance/lux-001.pem", "sslclient");
    assert!(good, "by the new authority: {text}");
    let (good, _) = verify(&scene, "site/ca/certificates/operator/ops-1.pem", "sslclient");
    assert!(!good, "still by the old one");
    let plan = scene.ok(&["plan"]);
    plan.says("certificate renewed until").says("accepts certificates of 2 authorities");
    assert!(scene.ok(&["ca", "list"]).stdout.contains("ops-1"), "what the first one issued stays known");
}
