//! What a wrong clock does, and that setting it right undoes it (R35, R36).

use casemate_protocol::code::Code;
use casemate_protocol::evidence::health::HealthState;
use casemate_protocol::evidence::receipt::ClockQuality;
use casemate_protocol::tuf::time::UtcTime;
use casemate_tests::repository::signed_at;

use crate::first_bundle::enrolled;

#[test]
fn a_wrong_clock_is_said_and_stops_no_fresh_bundle() {
    let wrong = ["1970-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "2036-03-01T12:00:00Z"];
    for time in wrong.map(|text| text.parse::<UtcTime>().unwrap()) {
        let (appliance, mut site) = enrolled();
        appliance.set_clock(time);
        let report = appliance.import_one(&site.issue().bundle().bytes());
        assert_eq!(report.code, Code::Applied, "{time}: {report:?}");
        assert_eq!(appliance.receipts()[0].predicate.clock, ClockQuality::Untrusted, "{time}");
        let health = appliance.health();
        assert_eq!((health.state, health.clock), (HealthState::ClockUntrusted, ClockQuality::Untrusted), "{time}");

        // Set right, everything is as if the clock had never been wrong.
        appliance.set_clock(signed_at());
        site.reissue("group.clinics", "synapse/homeserver.yaml", b"april\n");
        let report = appliance.import_one(&site.issue().bundle().bytes());
        assert_eq!(report.code, Code::Applied, "{time}: {report:?}");
        assert_eq!(appliance.receipts()[1].predicate.clock, ClockQuality::Plausible, "{time}");
        assert_eq!(appliance.health().state, HealthState::Ok, "{time}");
    }
}

#[test]
fn an_expired_bundle_is_not_newly_applied_and_what_runs_keeps_running() {
    let (appliance, mut site) = enrolled();
    assert_eq!(appliance.import_one(&site.issue().bundle().bytes()).code, Code::Applied);
    site.reissue("group.clinics", "synapse/homeserver.yaml", b"april\n");
    let april = site.issue().bundle().bytes();
    appliance.set_clock(site.expires.plus(1));
    let report = appliance.import_one(&april);
    assert_eq!(report.code, Code::MetadataExpired, "{report:?}");
    let running = appliance.current("groups/clinics/synapse/homeserver.yaml").unwrap();
    assert_eq!(running, b"server_name: clinics.example\n");
    assert_eq!(appliance.health().state, HealthState::Stale);

    // The clock was wrong, not the bundle: set right, the same bundle is applied.
    appliance.set_clock(signed_at().plus_days(1));
    assert_eq!(appliance.import_one(&april).code, Code::Applied);
}
