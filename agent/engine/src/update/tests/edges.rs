//! The table in the module's documentation is what the code does: every state with every event, both ways.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::ClockQuality;
use casemate_protocol::tuf::time::UtcTime;

use super::super::*;
use crate::time::{BootId, Moment, Now};

/// From, event, to.
type Edge = (String, String, String);

const UPTIME: u64 = 30 * 86_400;
const DEADLINE: u64 = 600;

fn words<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.map(str::to_owned).into()
}

/// No wildcard: a new state does not compile until it is named here, and the table is told of it.
fn state_name(state: &State) -> &'static str {
    match state {
        State::Idle { .. } => "Idle",
        State::Staging { .. } => "Staging",
        State::Waiting { .. } => "Waiting",
        State::Switching { .. } => "Switching",
        State::Probation { .. } => "Probation",
        State::Restoring { .. } => "Restoring",
        State::Committed { .. } => "Committed",
        State::Removing { .. } => "Removing",
        State::Removed { .. } => "Removed",
    }
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Offered(_) => "Offered",
        Event::Left => "Left",
        Event::Staged { .. } => "Staged",
        Event::Switched { .. } => "Switched",
        Event::Restored => "Restored",
        Event::Removed => "Removed",
        Event::Tick => "Tick",
        Event::Reported { .. } => "Reported",
        Event::Held { .. } => "Held",
        Event::Superseded => "Superseded",
        Event::Failed { .. } => "Failed",
    }
}

fn documented() -> BTreeSet<Edge> {
    let rows = include_str!("../mod.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let list = |cell: &str| cell.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    let mut edges = BTreeSet::new();
    for row in rows.filter(|row| !row.starts_with("from ")) {
        let cells: Vec<_> = row.split(" | ").collect();
        for from in list(cells[0]) {
            for to in list(cells[2]) {
                let edge = (from.clone(), cells[1].to_owned(), to);
                assert!(edges.insert(edge.clone()), "{edge:?} stands in the table twice");
            }
        }
    }
    edges
}

fn generation(number: u64) -> Generation {
    Generation { number, version: number, manifest: Digest::of(&number.to_le_bytes()) }
}

fn known_to_fail() -> Failed {
    let Generation { version, manifest, .. } = generation(7);
    Failed { version, manifest, code: Code::ProbeFailed, consumer: None, reason: None }
}

fn moment(boot: &str, uptime_seconds: u64) -> Moment {
    Moment { boot: BootId::of(boot), uptime_seconds }
}

fn all_terms() -> Vec<Terms> {
    let awaited = ["a", "b"].map(|name| name.parse().unwrap());
    let mut all = Vec::new();
    for window in [None, Some("Sun 02:00-05:00".parse().unwrap())] {
        for awaited in [BTreeSet::new(), awaited.clone().into()] {
            for hold_seconds in [None, Some(10)] {
                let terms = Terms { window, deadline_seconds: DEADLINE, awaited: awaited.clone(), hold_seconds };
                // What asks nothing stands in no state.
                all.push(if terms.is_plain() { Terms::default() } else { terms });
            }
        }
    }
    all
}

/// Just now, long enough ago for any deadline or window, and before the machine was last started.
fn all_since() -> [Moment; 3] {
    [moment("this", UPTIME), moment("this", UPTIME - 8 * 86_400), moment("before", UPTIME)]
}

fn on_the_way(before: Option<&Generation>, terms: &Terms) -> Vec<State> {
    let (before, next) = (before.cloned(), generation(2));
    let mut states = vec![
        State::Staging { before: before.clone(), next: next.clone(), terms: terms.clone() },
        State::Switching { before: before.clone(), next: next.clone(), terms: terms.clone() },
    ];
    for since in all_since() {
        let (before, next, terms) = (before.clone(), next.clone(), terms.clone());
        states.push(State::Waiting { before: before.clone(), next: next.clone(), terms: terms.clone(), since });
        if !terms.is_gated() {
            continue;
        }
        for boots in [1, MAX_BOOTS] {
            for reported in 0..=terms.awaited.len() {
                let ready = terms.awaited.iter().take(reported).cloned().collect();
                let (before, next, terms) = (before.clone(), next.clone(), terms.clone());
                states.push(State::Probation { before, next, terms, since, boots, ready });
            }
        }
    }
    states
}

pub(super) fn all_states() -> Vec<State> {
    let (current, last) = (generation(1), 2);
    let mut states = Vec::new();
    for before in [None, Some(current.clone())] {
        for terms in all_terms() {
            states.extend(on_the_way(before.as_ref(), &terms));
        }
        for failed in [None, Some(known_to_fail())] {
            let (before, abandoned) = (before.clone(), generation(2));
            states.push(State::Restoring {
                before: before.clone(),
                abandoned,
                code: Code::DiskFull,
                failed: failed.clone(),
            });
            states.push(State::Removing { before: before.clone(), last, failed: failed.clone() });
            let previous = before.map(|_| generation(0));
            states.push(State::Committed { current: current.clone(), previous, last, failed: failed.clone() });
            states.push(State::Removed { last, failed: failed.clone() });
            states.push(State::Idle { last, failed });
        }
    }
    states
}

fn all_events() -> Vec<Event> {
    let mut events = vec![Event::Left, Event::Restored, Event::Removed, Event::Tick, Event::Superseded];
    for Generation { version, manifest, .. } in [generation(1), generation(2), generation(7), generation(8)] {
        events.extend(all_terms().into_iter().map(|terms| Event::Offered(Offer { version, manifest, terms })));
    }
    for number in [1, 2, 3] {
        events.push(Event::Staged { number });
        events.push(Event::Switched { number });
        events.push(Event::Held { number });
        events.push(Event::Failed { number, code: Code::DiskFull });
        for consumer in ["a", "b", "stranger"].map(|name| name.parse::<casemate_protocol::device::id::Name>().unwrap())
        {
            for report in [Report::Ready, Report::Failed { reason: None }] {
                events.push(Event::Reported { number, consumer: consumer.clone(), report });
            }
        }
    }
    events
}

/// In the window, outside it, and not knowing.
fn all_nows() -> [Now; 3] {
    let at = |wall: &str, clock| Now { moment: moment("this", UPTIME), wall: wall.parse::<UtcTime>().unwrap(), clock };
    [
        at("2026-03-01T03:00:00Z", ClockQuality::Plausible),
        at("2026-03-02T03:00:00Z", ClockQuality::Plausible),
        at("2026-03-02T03:00:00Z", ClockQuality::Untrusted),
    ]
}

/// Every edge the code has, with one example. An event that changes nothing and asks for nothing is no edge.
fn found() -> BTreeMap<Edge, String> {
    let mut edges = BTreeMap::new();
    for now in all_nows() {
        for from in all_states() {
            for event in all_events() {
                let example = || format!("{from:?} on {event:?} at {now:?}");
                let to = match step(from.clone(), &event, &now) {
                    Ok(Step { state, effects }) if state == from && effects.is_empty() => continue,
                    Ok(Step { state, .. }) => state_name(&state),
                    Err(StepError::UnderWay { .. }) => "refused",
                };
                let edge = (state_name(&from).to_owned(), event_name(&event).to_owned(), to.to_owned());
                edges.entry(edge).or_insert_with(example);
            }
        }
    }
    edges
}

#[test]
fn the_documented_table_is_exactly_what_the_code_does() {
    let (documented, found) = (documented(), found());
    for (edge, example) in &found {
        assert!(documented.contains(edge), "the table lacks {edge:?}: {example}");
    }
    for edge in &documented {
        assert!(found.contains_key(edge), "the table has {edge:?}, the code has not");
    }
}

#[test]
fn the_enumeration_knows_every_state_and_every_event() {
    let states: BTreeSet<_> = all_states().iter().map(|state| state_name(state).to_owned()).collect();
    let expected =
        ["Idle", "Staging", "Waiting", "Switching", "Probation", "Restoring", "Committed", "Removing", "Removed"];
    assert_eq!(states, words(expected));
    let events: BTreeSet<_> = all_events().iter().map(|event| event_name(event).to_owned()).collect();
    let expected = ["Offered", "Left", "Staged", "Switched", "Restored", "Removed", "Tick", "Reported", "Held"];
    assert_eq!(events, &words(expected) | &words(["Superseded", "Failed"]));
}
