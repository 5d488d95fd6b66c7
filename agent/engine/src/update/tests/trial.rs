//! The trial and the window, rule by rule.

use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::ClockQuality;

use super::super::*;
use crate::time::{BootId, Moment, Now};

fn at(boot: &str, uptime_seconds: u64) -> Now {
    let moment = Moment { boot: BootId::of(boot), uptime_seconds };
    // A Monday.
    Now { moment, wall: "2026-03-02T12:00:00Z".parse().unwrap(), clock: ClockQuality::Plausible }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn offer(version: u64, terms: &Terms) -> Event {
    Event::Offered(Offer { version, manifest: Digest::of(b"the same content"), terms: terms.clone() })
}

fn awaiting(consumers: &[&str], hold_seconds: Option<u64>) -> Terms {
    let awaited = consumers.iter().map(|text| name(text)).collect();
    Terms { window: None, deadline_seconds: 600, awaited, hold_seconds }
}

fn after(state: State, events: &[Event], now: &Now) -> State {
    events.iter().fold(state, |state, event| step(state, event, now).unwrap().state)
}

/// Generation 1 on trial since second 1000 of the first boot.
fn on_trial(terms: &Terms) -> State {
    let events = [offer(1, terms), Event::Staged { number: 1 }, Event::Switched { number: 1 }];
    after(State::default(), &events, &at("first", 1000))
}

fn says(consumer: &str, report: Report) -> Event {
    Event::Reported { number: 1, consumer: name(consumer), report }
}

fn undone_as(state: &State) -> Option<(Code, Option<&str>)> {
    match state {
        State::Restoring { code, failed, .. } => {
            Some((*code, failed.as_ref().and_then(|failed| failed.consumer.as_ref()).map(Name::as_str)))
        }
        _ => None,
    }
}

#[test]
fn ready_counts_until_the_deadline_and_not_in_its_second() {
    let trial = on_trial(&awaiting(&["a"], None));
    let ready = [says("a", Report::Ready)];
    assert!(matches!(after(trial.clone(), &ready, &at("first", 1599)), State::Committed { .. }));
    let late = after(trial, &ready, &at("first", 1600));
    assert_eq!(undone_as(&late), Some((Code::ConsumerSilent, Some("a"))));
}

#[test]
fn probes_that_hold_only_after_the_deadline_do_not_commit() {
    let trial = on_trial(&awaiting(&[], Some(10)));
    let held = [Event::Held { number: 1 }];
    assert!(matches!(after(trial.clone(), &held, &at("first", 1599)), State::Committed { .. }));
    assert_eq!(undone_as(&after(trial, &held, &at("first", 1600))), Some((Code::ProbeFailed, None)));
}

#[test]
fn a_failure_that_is_told_says_more_than_the_time_that_passed() {
    let trial = on_trial(&awaiting(&["a", "b"], None));
    let reason = Some(name("config-rejected"));
    let told = after(trial, &[says("b", Report::Failed { reason: reason.clone() })], &at("first", 5000));
    assert_eq!(undone_as(&told), Some((Code::ConsumerFailed, Some("b"))));
    let back = after(told, &[Event::Restored], &at("first", 5001));
    assert_eq!(back.failed().unwrap().reason, reason);
}

#[test]
fn what_was_ready_before_a_restart_of_the_machine_is_asked_again() {
    let trial = on_trial(&awaiting(&["a", "b"], None));
    let trial = after(trial, &[says("a", Report::Ready)], &at("first", 1100));
    let trial = after(trial, &[says("b", Report::Ready)], &at("second", 30));
    assert_eq!(trial.awaited(), [&name("a")]);
    assert_eq!(due_in_seconds(&trial, &at("second", 30)), Some(600), "the whole time anew");
    assert!(matches!(after(trial, &[says("a", Report::Ready)], &at("second", 31)), State::Committed { .. }));
}

#[test]
fn a_generation_is_on_trial_in_three_runs_of_the_machine_at_most() {
    let mut trial = on_trial(&awaiting(&["a"], None));
    for boot in ["second", "third"] {
        trial = after(trial, &[Event::Tick], &at(boot, 10));
        assert_eq!(undone_as(&trial), None, "{boot}");
    }
    assert_eq!(undone_as(&after(trial, &[Event::Tick], &at("fourth", 10))), Some((Code::ProbationInterrupted, None)));
}

#[test]
fn failed_content_is_refused_until_it_is_signed_anew_even_if_the_owner_left_in_between() {
    let (terms, now) = (awaiting(&["a"], None), at("first", 1000));
    let first = [offer(1, &Terms::default()), Event::Staged { number: 1 }, Event::Switched { number: 1 }];
    let other = |version| Event::Offered(Offer { version, manifest: Digest::of(b"other"), terms: terms.clone() });
    let second = [other(2), Event::Staged { number: 2 }, Event::Switched { number: 2 }];
    let failed = Event::Reported { number: 2, consumer: name("a"), report: Report::Failed { reason: None } };
    let back = after(after(State::default(), &first, &now), &second, &now);
    let back = after(back, &[failed, Event::Restored], &now);
    let away = after(back.clone(), &[Event::Left, Event::Removed], &now);
    for state in [back, away] {
        let again = step(state.clone(), &other(2), &now).unwrap();
        assert_eq!(again.state, state);
        assert!(matches!(&again.effects[..], [Effect::Settle(Settlement { code: Code::FailedBefore, .. })]));
        assert!(matches!(step(state, &other(3), &now).unwrap().state, State::Staging { .. }));
    }
}

#[test]
fn without_a_believed_clock_a_window_opens_by_uptime_or_with_a_restart_of_the_machine() {
    let window = Some("Sun 02:00-05:00".parse().unwrap());
    let terms = Terms { window, ..awaiting(&[], None) };
    let staged = [offer(1, &terms), Event::Staged { number: 1 }];
    let waiting = after(State::default(), &staged, &at("first", 1000));
    assert_eq!(due_in_seconds(&waiting, &at("first", 1000)), Some((5 * 24 + 14) * 3600), "until Sunday, 02:00");
    let unknown = |boot, uptime| Now { clock: ClockQuality::Untrusted, ..at(boot, uptime) };
    let week = 7 * 86_400;
    assert_eq!(due_in_seconds(&waiting, &unknown("first", 1000)), Some(week));
    let switches = |now: &Now| matches!(after(waiting.clone(), &[Event::Tick], now), State::Switching { .. });
    assert!(!switches(&unknown("first", 999 + week)) && switches(&unknown("first", 1000 + week)));
    assert!(switches(&unknown("second", 5)) && !switches(&at("second", 5)));
}
