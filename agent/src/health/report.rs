//! The health report, as a function of what is known.

use std::collections::BTreeSet;

use casemate_protocol::code::Code;
use casemate_protocol::device::id::{ApplianceId, Jurisdiction};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::health::{BoundaryHealth, FORMAT, HealthReport, HealthState, TransportsHealth};
use casemate_protocol::evidence::receipt::{ClockQuality, JournalPosition};
use casemate_protocol::tuf::time::{Clock, UtcTime};

use super::certificates::{self, Dates};

/// Days without anything newly accepted after which an appliance says it is stale: the life of a timestamp.
pub const STALE_AFTER_DAYS: u64 = 90;

/// Everything health is judged by.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// Id and jurisdiction, once enrolment is confirmed.
    pub enrolled: Option<(ApplianceId, Jurisdiction)>,
    /// The root in force allows one person to do everything.
    pub demo: bool,
    /// Version of the newest accepted timestamp.
    pub timestamp_version: Option<u64>,
    /// When it was signed.
    pub signed_at: Option<UtcTime>,
    /// Digest of the newest accepted snapshot.
    pub snapshot: Option<Digest>,
    /// Owners that have something current.
    pub generations: usize,
    /// Why not every owner stands where the bundle in force put it.
    pub incomplete: Option<Code>,
    /// When certificate and revocation lists end; none if no bundle brought any.
    pub certificates: Option<Dates>,
    /// What owners wait for that have a generation under way: no lack, and said all the same.
    pub under_way: BTreeSet<Code>,
    /// Receipts nobody has taken home.
    pub receipts_waiting: usize,
    /// How the boundary stands.
    pub boundary: BoundaryHealth,
    /// What is lacking there; an appliance that lacks any of it works, and says so.
    pub boundary_lacks: BTreeSet<Code>,
    /// How the transports stand.
    pub transports: Option<TransportsHealth>,
    /// The signed settings of the transports cannot be used.
    pub transports_invalid: bool,
    /// The state is damaged.
    pub damaged: bool,
    /// Floors stand in one place only.
    pub uncopied: bool,
    /// The clock as configured.
    pub clock: Clock,
    /// The journal.
    pub journal: JournalPosition,
}

/// The report on `vitals`.
#[must_use]
pub fn report(vitals: &Vitals) -> HealthReport {
    let judged = vitals.clock.judge(vitals.signed_at);
    let stale = vitals.signed_at.is_some_and(|signed| judged.now > signed.plus_days(STALE_AFTER_DAYS));
    let signs = [
        (vitals.damaged, HealthState::Quarantine, Code::StateDamaged),
        (judged.quality == ClockQuality::Untrusted, HealthState::ClockUntrusted, Code::ClockUntrusted),
        (vitals.enrolled.is_none(), HealthState::Degraded, Code::NotEnrolled),
        (vitals.uncopied, HealthState::Degraded, Code::StateUnavailable),
        (vitals.incomplete.is_some(), HealthState::Degraded, vitals.incomplete.unwrap_or(Code::Internal)),
        (vitals.transports_invalid, HealthState::Degraded, Code::TransportInvalid),
        (stale, HealthState::Stale, Code::Stale),
        (vitals.demo, HealthState::Ok, Code::Demo),
    ];
    let under_way = vitals.under_way.iter().map(|code| (true, HealthState::Ok, *code));
    let lacks = vitals.boundary_lacks.iter().map(|code| (true, HealthState::Degraded, *code));
    let certificates = vitals.certificates.as_ref().map(|dates| dates.health(judged.now));
    let ending = certificates.iter().flat_map(certificates::lacks).map(|code| (true, HealthState::Degraded, code));
    let present: Vec<_> =
        signs.into_iter().chain(under_way).chain(lacks).chain(ending).filter(|(present, ..)| *present).collect();
    let state = present.iter().map(|(_, state, _)| *state).max().unwrap_or(HealthState::Ok);
    let mut reasons: Vec<_> = present.iter().map(|(.., code)| *code).collect();
    reasons.sort_by_key(|code| code.as_str());
    reasons.dedup();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    HealthReport {
        format: FORMAT,
        state,
        reasons,
        appliance: vitals.enrolled.as_ref().map(|(appliance, _)| appliance.clone()),
        jurisdiction: vitals.enrolled.as_ref().map(|(_, jurisdiction)| *jurisdiction),
        demo: vitals.demo,
        timestamp_version: vitals.timestamp_version,
        snapshot: vitals.snapshot,
        generations: count(vitals.generations),
        certificates,
        receipts_waiting: count(vitals.receipts_waiting),
        boundary: Some(vitals.boundary.clone()),
        transports: vitals.transports,
        time: vitals.clock.wall,
        clock: judged.quality,
        journal: vitals.journal,
    }
}

#[cfg(test)]
mod tests {
    use casemate_protocol::boundary::Policy;
    use casemate_protocol::evidence::health::{Enforcement, Layers};

    use super::*;

    fn day(day: u64) -> UtcTime {
        UtcTime::from_unix(1_800_000_000).plus_days(day)
    }

    fn vitals(wall: UtcTime) -> Vitals {
        Vitals {
            enrolled: Some(("lux-001".parse().unwrap(), "LU".parse().unwrap())),
            demo: false,
            timestamp_version: Some(3),
            signed_at: Some(day(0)),
            snapshot: Some(Digest::of(b"snapshot")),
            generations: 1,
            incomplete: None,
            certificates: None,
            under_way: BTreeSet::new(),
            receipts_waiting: 0,
            boundary: BoundaryHealth {
                enforcement: Enforcement::Host,
                policy: Policy::default().digest(),
                name: None,
                version: None,
                trial: false,
                layers: Layers::default(),
                attempts: 0,
                units: Vec::new(),
            },
            boundary_lacks: BTreeSet::new(),
            transports: None,
            transports_invalid: false,
            damaged: false,
            uncopied: false,
            clock: Clock { wall, build: UtcTime::EPOCH, offline_span_days: 400 },
            journal: JournalPosition { size: 1, root: Digest::of(b"") },
        }
    }

    #[test]
    fn nothing_to_say_is_ok() {
        let report = report(&vitals(day(1)));
        assert_eq!((report.state, report.reasons.len()), (HealthState::Ok, 0));
    }

    #[test]
    fn it_turns_stale_on_the_stated_day_and_not_before() {
        assert_eq!(report(&vitals(day(STALE_AFTER_DAYS))).state, HealthState::Ok);
        assert_eq!(report(&vitals(day(STALE_AFTER_DAYS).plus(1))).state, HealthState::Stale);
    }

    #[test]
    fn a_generation_under_way_is_said_and_is_no_lack() {
        let vitals = Vitals { under_way: BTreeSet::from([Code::Waiting, Code::Probation]), ..vitals(day(1)) };
        let report = report(&vitals);
        assert_eq!((report.state, report.reasons), (HealthState::Ok, vec![Code::Probation, Code::Waiting]));
    }

    #[test]
    fn what_the_boundary_lacks_degrades() {
        let lacks = BTreeSet::from([Code::BoundaryAttempts, Code::BoundaryObserved]);
        let report = report(&Vitals { boundary_lacks: lacks, ..vitals(day(1)) });
        assert_eq!(report.state, HealthState::Degraded);
        assert_eq!(report.reasons, [Code::BoundaryAttempts, Code::BoundaryObserved]);
    }

    #[test]
    fn a_clock_that_contradicts_signed_time_is_said_and_ages_nothing() {
        for wall in [UtcTime::EPOCH, day(3_650)] {
            let report = report(&vitals(wall));
            assert_eq!((report.state, report.clock), (HealthState::ClockUntrusted, ClockQuality::Untrusted));
            assert_eq!(report.reasons, [Code::ClockUntrusted]);
        }
    }

    #[test]
    fn the_worst_reason_names_the_state_and_all_are_listed() {
        let vitals = Vitals { damaged: true, demo: true, enrolled: None, ..vitals(day(200)) };
        let report = report(&vitals);
        assert_eq!(report.state, HealthState::Quarantine);
        assert_eq!(report.reasons, [Code::Demo, Code::NotEnrolled, Code::Stale, Code::StateDamaged]);
    }
}
