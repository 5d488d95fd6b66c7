use casemate_protocol::digest::Digest;

use super::*;
use crate::site::boundary::EnvelopeFile;
use crate::site::boundary::envelope;

fn parse(text: &str, inside: Option<&str>) -> Result<Boundary, String> {
    let lu = "LU".parse().unwrap();
    let envelope = inside.map(|text| EnvelopeFile::parse(envelope::FILE, text, lu).unwrap().envelope);
    super::parse(&"b".parse().unwrap(), text, lu, envelope.as_ref()).map_err(|error| error.to_string())
}

fn peer(more: &str) -> String {
    let pin = Digest::of(b"key");
    format!(
        "[[peer]]\nid = \"control\"\nprotocol = \"https\"\naddress = \"10.20.0.5\"\nport = 8443\npin = \"{pin}\"\n\
         purpose = \"repository\"\n{more}"
    )
}

const FLOW: &str = "[[flow]]\npurpose = \"federation\"\ndirection = \"out\"\nprotocol = \"tcp\"\nto = \"10.20.1.0/24\"\nports = \"8448\"\n";

#[test]
fn a_boundary_is_read_whole_and_the_order_of_its_entries_means_nothing() {
    let head = "observe_until = \"2026-12-01T00:00:00Z\"\n";
    let link = "[link]\ngateways = [\"10.20.0.1\"]\ndhcp = true\n";
    let ping = "[[flow]]\npurpose = \"ping\"\ndirection = \"in\"\nprotocol = \"echo\"\nfrom = \"10.20.0.0/16\"\n";
    let one =
        parse(&format!("{head}{}{FLOW}tenant = \"north\"\n{ping}{link}", peer("required = true\n")), None).unwrap();
    let told = one.allow.entries();
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told[0].starts_with("peer control https 10.20.0.5:8443 required pins "));
    assert_eq!(told[1], "flow federation out tcp to 10.20.1.0/24 port 8448 for tenant.north");
    assert_eq!(
        told[2..],
        ["flow ping in echo from 10.20.0.0/16", "gateway 10.20.0.1", "dhcp", "observe until 2026-12-01T00:00:00Z"]
    );
    let two =
        parse(&format!("{head}{ping}{FLOW}tenant = \"north\"\n{}{link}", peer("required = true\n")), None).unwrap();
    assert_eq!(one, two);
    let again = format!("{head}{ping}{FLOW}tenant = \"north\"\n{}{link}", peer("required = true\n"));
    let inner = ping.replace("10.20.0.0/16", "10.20.3.0/24");
    let redundant = parse(&format!("{inner}{again}").replace(head, "").replacen("", head, 1), None).unwrap();
    assert_eq!(redundant.allow.digest(), one.allow.digest(), "what another flow covers is no difference");
    assert!(parse("", None).unwrap().allow.is_empty(), "an empty boundary allows nothing");
}

#[test]
fn every_wrong_value_is_named_with_its_line() {
    let flow = |from: &str, to: &str| FLOW.replace(from, to);
    for (text, expected) in [
        (flow("out", "ot"), "boundary/b.toml:3: \"ot\" is no direction; did you mean \"out\"?"),
        (flow("tcp", "sctp"), "boundary/b.toml:4: \"sctp\" is no flow's protocol"),
        (flow("to =", "from ="), "boundary/b.toml:5: a flow out says to where; write to ="),
        (flow("to = \"10.20.1.0/24\"\n", ""), "boundary/b.toml:1: a flow out says to where"),
        (flow("/24", "/33"), "boundary/b.toml:5: \"10.20.1.0/33\" is no network"),
        (flow("10.20.1.0/24", "0.0.0.0/0"), "boundary/b.toml:5: \"0.0.0.0/0\" is no network: loopback"),
        (flow("8448", "0"), "boundary/b.toml:6: \"0\" is no port"),
        (
            flow("ports = \"8448\"\n", ""),
            "boundary/b.toml:1: flow federation out tcp to 10.20.1.0/24: ports are missing",
        ),
        (
            flow("tcp", "echo"),
            "boundary/b.toml:1: flow federation out echo to 10.20.1.0/24 port 8448: echo has no ports",
        ),
        (flow("federation", "Federation"), "boundary/b.toml:2: \"Federation\" is no name"),
        (flow("purpose", "purpse"), "unknown field `purpse`; did you mean \"purpose\"?"),
        (
            format!("{FLOW}{FLOW}"),
            "boundary/b.toml:7: flow federation out tcp to 10.20.1.0/24 port 8448 stands there twice",
        ),
        (
            peer("").replace("10.20.0.5", "control.lu"),
            "boundary/b.toml:4: \"control.lu\" is no IP address; write the address itself",
        ),
        (peer("").replace("10.20.0.5", "127.0.0.1"), "boundary/b.toml:1: \"127.0.0.1/32\" is no network: loopback"),
        (peer("").replace("8443", "0"), "boundary/b.toml:1: peer control https 10.20.0.5:0: 0 is no port"),
        (peer("").replace("repository", "repo"), "boundary/b.toml:7: \"repo\" is no purpose of a peer"),
        (peer("next_pin = \"ab\"\n"), "boundary/b.toml:8: \"ab\" is no SHA-256"),
        (
            peer(&peer("")),
            "boundary/b.toml:8: peer control https 10.20.0.5:8443: its name or address stands there twice",
        ),
        ("observe_until = \"tomorrow\"\n".into(), "boundary/b.toml:1: "),
        (
            "[link]\ngateways = [\"10.20.0.1\", \"10.20.0.1\"]\n".into(),
            "boundary/b.toml:2: gateway 10.20.0.1 stands there twice",
        ),
        (
            "[link]\nobserve_until = \"2026-12-01T00:00:00Z\"\n".into(),
            "boundary/b.toml:2: observe_until stands in [link]; write it at the top",
        ),
    ] {
        let error = parse(&text, None).unwrap_err();
        assert!(error.contains(expected), "{expected}\n{error}");
    }
    let error = parse(&format!("{}{}", flow("8448", "x"), peer("next_pin = \"ab\"\n")), None).unwrap_err();
    assert!(error.contains("b.toml:6: ") && error.contains("b.toml:14: "), "all at once: {error}");
}

#[test]
fn what_goes_beyond_the_envelope_is_named_with_its_line() {
    let narrow = "networks = [\"10.21.0.0/16\"]\n";
    let text =
        format!("observe_until = \"2026-12-01T00:00:00Z\"\n{FLOW}[link]\ngateways = [\"10.20.0.1\"]\ndhcp = true\n");
    let error = parse(&text, Some(narrow)).unwrap_err();
    for line in [
        "boundary/b.toml:1: observe_until is beyond the envelope; narrow it",
        "boundary/b.toml:2: 10.20.1.0/24 is beyond the envelope",
        "boundary/b.toml:9: 10.20.0.1 is beyond the envelope",
        "boundary/b.toml:10: dhcp is beyond the envelope",
    ] {
        assert!(error.contains(line), "{line}\n{error}");
    }
    let wide = "networks = [\"10.20.0.0/16\"]\ndhcp = true\nobserve = true\n";
    parse(&text, Some(wide)).unwrap();
    let pinned = format!("{wide}pins = [\"{}\"]\n", Digest::of(b"other"));
    let error = parse(&peer(""), Some(&pinned)).unwrap_err();
    assert!(error.contains("b.toml:1: a key of peer control https 10.20.0.5:8443 is beyond the envelope"), "{error}");
    parse(&peer(""), Some(&pinned.replace(&Digest::of(b"other").to_string(), &Digest::of(b"key").to_string())))
        .unwrap();
}

const LISTEN: &str = "[listen]\nport = 8443\nfrom = [\"10.20.2.0/24\", \"10.20.0.5\", \"10.20.0.5\"]\n";

#[test]
fn a_listener_is_named_with_who_may_connect() {
    let read = parse(LISTEN, Some("networks = [\"10.20.0.0/16\"]\n")).unwrap();
    assert_eq!(read.allow.entries(), ["listen 8443 from 10.20.0.5 10.20.2.0/24"]);
    for (from, to, inside, expected) in [
        (
            "8443",
            "443",
            None,
            "boundary/b.toml:1: listen 443 from 10.20.0.5 10.20.2.0/24: the agent may not bind ports",
        ),
        ("8443", "\"8443\"", None, "boundary/b.toml:2: "),
        ("10.20.2.0/24", "0.0.0.0/0", None, "boundary/b.toml:3: \"0.0.0.0/0\" is no network"),
        ("port = 8443\n", "", None, "boundary/b.toml:1: missing field `port`"),
        ("from", "form", None, "boundary/b.toml:3: unknown field `form`"),
        ("port", "observe_until = \"2026-12-01T00:00:00Z\"\nport", None, "observe_until stands in [listen]"),
        (
            "8443",
            "8443",
            Some("networks = [\"10.20.0.0/24\"]\n"),
            "boundary/b.toml:1: 10.20.2.0/24 is beyond the envelope",
        ),
    ] {
        let error = parse(&LISTEN.replacen(from, to, 1), inside).unwrap_err();
        assert!(error.contains(expected), "{expected}\n{error}");
    }
    let nobody = parse("[listen]\nport = 8443\nfrom = []\n", None).unwrap_err();
    assert!(nobody.contains("nobody could connect"), "{nobody}");
}

#[test]
fn more_flows_than_a_policy_holds_are_refused_at_the_first_too_many() {
    let flow = |port: usize| FLOW.replace("8448", &(1000 + port).to_string());
    let text: String = (0..300).map(flow).collect();
    let error = parse(&text, None).unwrap_err();
    assert!(error.contains("boundary/b.toml:1537: 257 flows, at most 256 are allowed"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
