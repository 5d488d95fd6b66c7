//! Who comes in, with what, and for how long.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use casemate_tests::authority::{Algorithm, Authority, Holder, Subject, Wish};
use casemate_tests::repository::signed_at;

use super::station::{Station, knock};

/// What `openssl s_client` says of a request for health.
fn s_client(station: &Station, holder: &Holder, options: &str) -> String {
    let request = "printf 'GET /v1/health HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n'";
    let command = format!(
        "{request} | timeout 30 openssl s_client -connect \"$ADDRESS\" -CAfile \"$CA\" -ign_eof {options} 2>&1 || true"
    );
    String::from_utf8_lossy(&station.shell(holder, &command).stdout).into_owned()
}

const CERTIFIED: &str = "-cert \"$CERT\" -key \"$KEY\"";

#[test]
fn each_kind_of_certificate_opens_its_routes_and_no_others() {
    let station = Station::open();
    for (kind, path, status) in [
        ("service", "/v1/health", 200),
        ("service", "/v1/receipts", 403),
        ("auditor", "/v1/receipts", 200),
        ("auditor", "/v1/boundary", 200),
        ("auditor", "/v1/tree", 403),
        ("publisher", "/v1/receipts", 200),
        ("publisher", "/v1/status", 403),
        ("operator", "/v1/tree", 200),
        ("operator", "/v1/files/tenants/north/app/config.toml", 403),
        ("operator", "/v1/openapi.json", 200),
        ("operator", "/v1/nothing", 404),
    ] {
        let reply = station.curl(&station.client(kind), path);
        assert_eq!(reply.status, status, "{kind} {path} {reply:?}");
        if status == 403 {
            let what = reply.json()["what"].as_str().unwrap().to_owned();
            assert!(
                what.ends_with(&format!("is not for the certificate of a {kind}")) || what.contains(" an "),
                "{what}"
            );
        }
    }
    let operator = station.client("operator");
    let order = "--json '{\"path\":\"/etc/passwd\"}' /v1/bundles";
    let reply = station.curl(&operator, order);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (415, Some("usage-invalid")), "{reply:?}");
    let enrol = station.curl(&operator, "-X POST /v1/enrolment/request");
    assert_eq!(enrol.status, 403, "{enrol:?}");
}

#[test]
fn only_tls_1_3_with_a_certificate_that_counts_comes_in() {
    let station = Station::open();
    let holder = station.client("service");
    let served = |options: &str| s_client(&station, &holder, options).contains("HTTP/1.1 200 OK");
    assert!(served(CERTIFIED));
    for group in ["X25519", "P-256", "P-384"] {
        assert!(served(&format!("{CERTIFIED} -groups {group}")), "{group}");
    }
    assert!(!served(""), "without a certificate");
    for old in ["-tls1_2", "-tls1_1", "-tls1"] {
        let said = s_client(&station, &holder, &format!("{CERTIFIED} {old}"));
        assert!(said.contains("alert protocol version") || said.contains("alert handshake failure"), "{old}: {said}");
    }
    for weak in ["P-521", "X448", "ffdhe2048"] {
        let said = s_client(&station, &holder, &format!("{CERTIFIED} -groups {weak}"));
        assert!(said.contains("alert handshake failure"), "{weak}: {said}");
    }
    let said = s_client(&station, &holder, &format!("{CERTIFIED} -alpn h2"));
    assert!(said.contains("no application protocol"), "{said}");
}

#[test]
fn certificates_that_do_not_count_are_refused_with_an_alert() {
    let station = Station::open();
    let stranger = Authority::with(Algorithm::Ed25519, signed_at().unix());
    let of = |uri: &str| Wish::of(uri);
    let authority = &station.authority;
    let operator = "casemate://LU/operator/ops-1";
    let revoked = authority.issue(&of(operator));
    station.renew(|material| material.crls = vec![authority.crl(&[&revoked])]);
    let cases = [
        ("another authority", stranger.issue(&of(operator))),
        ("expired", authority.issue(&Wish { days: -30..-1, ..of(operator) })),
        ("not yet valid", authority.issue(&Wish { days: 1..30, ..of(operator) })),
        ("another jurisdiction", authority.issue(&of("casemate://DE/operator/ops-1"))),
        ("an appliance", authority.issue(&of("casemate://LU/appliance/lux-002"))),
        ("no name", authority.issue(&of(""))),
        ("a name of something else", authority.issue(&of("https://LU/operator/ops-1"))),
        ("an unknown kind", authority.issue(&of("casemate://LU/janitor/ops-1"))),
        ("revoked", revoked),
    ];
    for (what, holder) in cases {
        let reply = station.curl(&holder, "/v1/health");
        assert!(reply.status == 0 && reply.said.contains("alert"), "{what}: {reply:?}");
    }
    // Controls: the same name from the right authority, also on P-256 and by way of an intermediate.
    assert_eq!(station.curl(&authority.issue(&of(operator)), "/v1/health").status, 200);
    let p256 = Wish { subject: Subject::New(Algorithm::P256), ..of(operator) };
    assert_eq!(station.curl(&authority.issue(&p256), "/v1/health").status, 200);
    let below = authority.subordinate();
    let mut chained = below.issue(&of(operator));
    assert_ne!(station.curl(&chained, "/v1/health").status, 200, "without its intermediate");
    chained.serial[1] ^= 0xff;
    let environment = station.environment(&chained);
    let certificate = &environment.iter().find(|(name, _)| *name == "CERT").unwrap().1;
    let chain = chained.certificate_pem() + &below.anchor_pem();
    let asked = format!(
        "cat > \"$CERT\" <<'END'\n{chain}END\ncurl -s --connect-to \"::$ADDRESS\" --cacert \"$CA\" --cert {certificate} \
         --key \"$KEY\" https://$AGENT/v1/health"
    );
    let output = station.shell(&chained, &asked);
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"state\""), "{output:?}");
}

#[test]
fn dates_are_judged_at_the_trusted_time_and_not_at_a_clock_gone_wrong() {
    let station = Station::open();
    let holder = station.authority.issue(&Wish { days: -1..30, ..Wish::of("casemate://LU/service/probe") });
    assert_eq!(station.curl(&holder, "/v1/health").status, 200);
    station.set_clock(31);
    assert_eq!(station.curl(&holder, "/v1/health").status, 0, "expired");
    // Ten years ahead: not believed, and the certificate counts again.
    station.set_clock(3650);
    assert_eq!(station.curl(&holder, "/v1/health").status, 200);
}

/// A connection that is kept: it has asked once, and its ends can be watched.
struct Kept {
    child: std::process::Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Kept {
    fn open(station: &Station, holder: &Holder) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", station.port), "-cert"])
            .arg(&station.environment(holder)[3].1)
            .arg("-key")
            .arg(&station.environment(holder)[4].1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut kept = Self { child, output };
        assert_eq!(kept.ask(), "HTTP/1.1 200 OK");
        kept
    }

    fn ask(&mut self) -> String {
        let request = b"GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n";
        self.child.stdin.as_mut().unwrap().write_all(request).unwrap();
        let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
        self.output.read_line(&mut first).unwrap();
        while !first.is_empty() && line != "\r\n" {
            line.clear();
            self.output.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).unwrap();
        first.trim().to_owned()
    }

    /// Returns once the other side has ended it.
    fn ended(mut self) {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_revocation_ends_open_connections_and_a_renewed_certificate_counts_from_the_next_handshake() {
    let station = Station::open();
    let (gone, stays) = (station.client("operator"), station.client("service"));
    let (open, mut other) = (Kept::open(&station, &gone), Kept::open(&station, &stays));
    station.renew(|material| material.crls = vec![station.authority.crl(&[&gone])]);
    open.ended();
    assert_eq!(other.ask(), "HTTP/1.1 200 OK", "others are not touched");
    let before = s_client(&station, &stays, CERTIFIED);
    let wish =
        Wish { subject: Subject::Public(station.own.public.clone()), ..Wish::of("casemate://LU/appliance/lux-001") };
    let renewed = station.authority.issue(&wish);
    station.renew(|material| material.certificate = vec![renewed.certificate.clone()]);
    let after = s_client(&station, &stays, CERTIFIED);
    let shown = |said: &str| said.split("-----BEGIN CERTIFICATE-----").nth(1).unwrap().to_owned();
    assert_ne!(shown(&before), shown(&after));
    assert_eq!(other.ask(), "HTTP/1.1 200 OK");
    station.renew(|material| material.anchors.clear());
    other.ended();
}

#[test]
fn an_open_connection_ends_when_its_certificate_expires() {
    let station = Station::open();
    let brief = station.authority.issue(&Wish { days: -1..1, ..Wish::of("casemate://LU/service/probe") });
    let open = Kept::open(&station, &brief);
    station.set_clock(2);
    // Any bundle makes what is open be judged again; without one, the certificate's own end does.
    station.renew(|_| {});
    open.ended();
}

#[test]
fn without_certificate_or_authority_nobody_listens() {
    let station = Station::open();
    let reached = || station.knock().is_ok();
    let holder = station.client("service");
    assert!(station.curl(&holder, "/v1/health").status == 200 && reached());
    let open = Kept::open(&station, &holder);
    station.renew(|material| material.certificate.clear());
    open.ended();
    assert!(!reached());
}

#[test]
fn no_address_in_a_certificate_is_looked_up() {
    let station = Station::open();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let address = trap.local_addr().unwrap();
    let crl_urls = vec![format!("http://{address}/list.crl"), format!("http://{address}/other.crl")];
    let holder = station.authority.issue(&Wish { crl_urls, ..Wish::of("casemate://LU/operator/ops-1") });
    assert_eq!(station.curl(&holder, "/v1/health").status, 200);
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // Control: whoever does connect is seen.
    let _caught = knock(address).unwrap();
    assert!(trap.accept().is_ok());
}
