//! 400 days without anybody, then one stick (R18, R40, R50, R51).

use casemate_agent::health::STALE_AFTER_DAYS;
use casemate_agent::local_api::answer::ImportReport;
use casemate_agent::local_api::call::{Call, ImportSource};
use casemate_agent::runtime::Agent;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::evidence::health::{CertificatesHealth, HealthReport, HealthState};
use casemate_protocol::evidence::receipt::{self, Transport};
use casemate_protocol::tuf::time::UtcTime;
use casemate_tests::appliance::{Appliance, files_below};
use casemate_tests::authority::{Algorithm, Authority, Holder, Subject, Wish, ed25519_spki};
use casemate_tests::namespace::{in_namespace, run};
use casemate_tests::repository::{Site, signed_at};

use crate::first_bundle::enrolled;

const DAY: u64 = 86_400;
const OFFLINE_DAYS: u64 = 400;
const STEPS: u64 = 40;

/// A certificate for the appliance's own TLS key, that ends `days` after the first bundle was signed.
fn certificate(authority: &Authority, appliance: &Appliance, days: i64) -> Holder {
    let public = casemate_protocol::encoding::from_hex(&appliance.keys().tls.keyval.public).unwrap();
    let subject = Subject::Public(ed25519_spki(public.as_slice().try_into().unwrap()));
    authority.issue(&Wish { subject, days: -1..days, ..Wish::of("casemate://LU/appliance/lux-001") })
}

/// Puts certificate, authority and a revocation list `age` days old on day 0 into the appliance's next assignment.
fn certify(site: &mut Site, authority: &Authority, holder: &Holder, crl: Vec<u8>, crl_max_age_days: u32) {
    let mut material = authority.material(holder, &[]);
    material.crls = vec![crl];
    let mut settings = material.settings();
    settings.crl_max_age_days = crl_max_age_days;
    let assignment = site.assignments.get_mut(&"lux-001".parse::<Name>().unwrap()).unwrap();
    assignment.transport = Some(settings);
}

/// What this network namespace was asked to send, and to whom it was asked to connect.
fn sent() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let of = |pair: &[Vec<&str>]| -> u64 {
        let counted = ["OutRequests", "OutNoRoutes", "OutDiscards", "ActiveOpens", "OutDatagrams", "OutMsgs"];
        let named = pair[0].iter().zip(&pair[1]).skip(1).filter(|(name, _)| counted.contains(name));
        named.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    };
    let four: u64 = lines.chunks(2).map(of).sum();
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default();
    let six = text.lines().filter(|line| line.starts_with("Ip6OutRequests") || line.starts_with("Ip6OutNoRoutes"));
    four + six.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum::<u64>()
}

async fn health(agent: &Agent) -> HealthReport {
    serde_json::from_value(agent.call(Call::Health).await.unwrap()).unwrap()
}

async fn import(agent: &Agent, appliance: &Appliance) -> ImportReport {
    let source = ImportSource::Path(appliance.path("stick"));
    let call = Call::Import { source, transport: Transport::Local, wait: false, dry_run: false };
    serde_json::from_value(agent.call(call).await.unwrap()).unwrap()
}

/// Five bundles, each with a change of its own, signed on the day the appliance is reached again.
fn catch_up(site: &mut Site, day: UtcTime) -> Vec<(String, Vec<u8>)> {
    (site.signed_at, site.expires) = (day, day.plus_days(90));
    let mut bundles = Vec::new();
    for step in 1..=5 {
        site.reissue("group.clinics", &format!("months/{step}.txt"), format!("change {step}\n").as_bytes());
        site.owner("group.clinics").expires = day.plus_days(400);
        bundles.push((format!("{step}.casemate"), site.issue().bundle().bytes()));
    }
    bundles
}

/// Step by step through the time without anybody: what was last good keeps running, and health says how old it is.
async fn wait_it_out(agent: &Agent, appliance: &Appliance) {
    for step in 1..=STEPS {
        appliance.pass(OFFLINE_DAYS / STEPS * DAY);
        let report = health(agent).await;
        let stale = OFFLINE_DAYS / STEPS * step > STALE_AFTER_DAYS;
        let (state, reasons) =
            if stale { (HealthState::Stale, vec![Code::Stale]) } else { (HealthState::Ok, Vec::new()) };
        assert_eq!((report.state, report.reasons), (state, reasons), "step {step}");
        let days = CertificatesHealth {
            certificate_days: Some(760 - 10 * i64::try_from(step).unwrap()),
            crl_days: Some(450 - 10 * i64::try_from(step).unwrap()),
        };
        assert_eq!(report.certificates, Some(days));
        let running = appliance.current("groups/clinics/synapse/homeserver.yaml").unwrap();
        assert_eq!(running, b"server_name: clinics.example\n", "step {step}");
    }
}

fn four_hundred_days_and_one_stick() {
    let (appliance, mut site) = enrolled();
    let authority = Authority::with(Algorithm::Ed25519, signed_at().unix());
    let operator = authority.issue(&Wish::of("casemate://LU/operator/ops-1"));
    let first = certificate(&authority, &appliance, 760);
    // Good for longer than the appliance is away: `crl_max_age` is the site's choice.
    let patient = |revoked: &[&Holder], age| authority.crl_lasting(revoked, age, 900);
    certify(&mut site, &authority, &first, patient(&[], 0), 450);
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    assert_eq!(appliance.health().state, HealthState::Ok);

    let day = signed_at().plus_days(OFFLINE_DAYS);
    let renewed = certificate(&authority, &appliance, 1_160);
    certify(&mut site, &authority, &renewed, patient(&[&operator], -400), 450);
    let bundles = catch_up(&mut site, day);
    let named: Vec<_> = bundles.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let (first_pass, second_pass) = appliance
        .host(async |agent| {
            wait_it_out(agent, &appliance).await;
            appliance.carry(&named);
            let first_pass = import(agent, &appliance).await;
            let report = health(agent).await;
            assert_eq!((report.state, report.reasons.len()), (HealthState::Ok, 0), "{report:?}");
            let days = CertificatesHealth { certificate_days: Some(760), crl_days: Some(450) };
            assert_eq!(report.certificates, Some(days), "the renewed certificate, the new list");
            (first_pass, import(agent, &appliance).await)
        })
        .unwrap();

    // One pass: the newest holds all five changes, and those before it are told as what they are.
    assert_eq!(first_pass.code, Code::Applied, "{first_pass:?}");
    let codes: Vec<_> = first_pass.bundles.iter().map(|bundle| bundle.code).collect();
    assert_eq!(codes.iter().filter(|code| **code == Code::Applied).count(), 1, "{codes:?}");
    assert_eq!(codes.len(), 5);
    for step in 1..=5 {
        let content = appliance.current(&format!("groups/clinics/months/{step}.txt"));
        assert_eq!(content, Some(format!("change {step}\n").into_bytes()), "nothing is lost");
    }
    assert_eq!(second_pass.code, Code::AlreadyApplied, "{second_pass:?}");
    let status = appliance.status();
    assert_eq!(status.timestamp_version, Some(site.version));
    assert_eq!(status.owners[0].current.as_ref().map(|generation| generation.number), Some(2), "nothing applied twice");
    receipts_are_home(&appliance, site.version);
}

/// Every receipt is on the stick and verifies with the key the appliance was enrolled with, once each.
fn receipts_are_home(appliance: &Appliance, version: u64) {
    let key = appliance.keys().receipts;
    let files = files_below(&appliance.path("stick/out"));
    let verified = files.iter().filter_map(|(_, raw)| receipt::verify(raw, &key).ok());
    let mut told: Vec<_> = verified
        .map(|receipt| {
            let statement = receipt.statement();
            (statement.predicate.sequence, statement.predicate.code, statement.subject[0].name.clone())
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        [(1, Code::Applied, "timestamp/1".to_owned()), (2, Code::Applied, format!("timestamp/{version}"))]
    );
}

#[test]
fn after_400_days_without_anybody_one_stick_brings_everything_and_not_one_packet_was_sent() {
    let run_alone = in_namespace(|| {
        four_hundred_days_and_one_stick();
        assert_eq!(sent(), 0, "packets, or attempts to connect");
        // What is counted would have been: somebody who tries finds no route, and is seen.
        let _tried = run("bash", &["-c", "(exec 3<>/dev/tcp/10.20.1.1/9) 2>/dev/null || true"]);
        assert_ne!(sent(), 0, "the counters see an attempt");
    });
    if run_alone.is_none() {
        four_hundred_days_and_one_stick();
    }
}

#[test]
fn an_expired_certificate_and_a_stale_list_are_said_and_keep_no_stick_from_being_applied() {
    let (appliance, mut site) = enrolled();
    let authority = Authority::with(Algorithm::P256, signed_at().unix());
    let first = certificate(&authority, &appliance, 100);
    certify(&mut site, &authority, &first, authority.crl(&[]), 60);
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    for (day, expected) in [
        (60, &[][..]),
        (61, &[Code::CrlStale]),
        (70, &[Code::CrlStale]),
        (71, &[Code::CertificateExpired, Code::CrlStale]),
        (150, &[Code::CertificateExpired, Code::CrlStale, Code::Stale]),
    ] {
        appliance.set_clock(signed_at().plus_days(day));
        let report = appliance.health();
        assert_eq!(report.reasons, expected, "day {day}");
        assert_eq!(report.state == HealthState::Degraded, !expected.is_empty(), "day {day}");
    }
    let day = signed_at().plus_days(150);
    let renewed = certificate(&authority, &appliance, 900);
    certify(&mut site, &authority, &renewed, authority.crl_aged(&[], -150), 60);
    (site.signed_at, site.expires) = (day, day.plus_days(90));
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"july\n");
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    assert_eq!(appliance.current("groups/clinics/synapse/homeserver.yaml").unwrap(), b"july\n");
    assert_eq!(appliance.health().reasons, []);
}
