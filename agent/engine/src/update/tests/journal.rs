//! What stands in a journal: states that need nothing new are written as they always were, byte for byte, so that the
//! agent before this one can open the folder again.

use std::collections::BTreeSet;

use casemate_protocol::bundle::terms::{MAX_CONSUMERS, MAX_DEADLINE_SECONDS, Terms};
use casemate_protocol::code::Code;

use super::super::*;
use crate::time::{BootId, Moment};

const M: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";

fn generation(number: u64) -> Generation {
    Generation { number, version: 9, manifest: M.parse().unwrap() }
}

/// Every state the first agents had, as they wrote it.
fn golden() -> Vec<(State, String)> {
    let (one, two) = (generation(1), generation(2));
    let written = |number: u64| format!("{{\"number\":{number},\"version\":9,\"manifest\":\"{M}\"}}");
    let (w1, w2) = (written(1), written(2));
    let (before, next, terms) = (Some(one.clone()), two.clone(), Default::default);
    let (current, failed, last) = (two.clone(), None, 2);
    vec![
        (State::Idle { last: 0, failed: None }, r#"{"state":"idle","last":0}"#.into()),
        (
            State::Staging { before: None, next: next.clone(), terms: terms() },
            format!(r#"{{"state":"staging","next":{w2}}}"#),
        ),
        (
            State::Staging { before: before.clone(), next: next.clone(), terms: terms() },
            format!(r#"{{"state":"staging","before":{w1},"next":{w2}}}"#),
        ),
        (
            State::Switching { before: before.clone(), next, terms: terms() },
            format!(r#"{{"state":"switching","before":{w1},"next":{w2}}}"#),
        ),
        (
            State::Restoring { before: before.clone(), abandoned: two, code: Code::DiskFull, failed: failed.clone() },
            format!(r#"{{"state":"restoring","before":{w1},"abandoned":{w2},"code":"disk-full"}}"#),
        ),
        (
            State::Committed { current: current.clone(), previous: None, last, failed: failed.clone() },
            format!(r#"{{"state":"committed","current":{w2},"last":2}}"#),
        ),
        (
            State::Committed { current, previous: before.clone(), last, failed: failed.clone() },
            format!(r#"{{"state":"committed","current":{w2},"previous":{w1},"last":2}}"#),
        ),
        (
            State::Removing { before, last: 1, failed: failed.clone() },
            format!(r#"{{"state":"removing","before":{w1},"last":1}}"#),
        ),
        (State::Removed { last: 3, failed }, r#"{"state":"removed","last":3}"#.into()),
    ]
}

#[test]
fn states_without_new_features_are_written_and_read_as_before() {
    for (state, text) in golden() {
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
}

#[test]
fn states_of_conditional_generations_are_read_back_as_written() {
    for state in super::edges::all_states() {
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state, "{text}");
    }
}

#[test]
fn the_longest_state_fits_into_one_value_of_the_store() {
    let names = (0..MAX_CONSUMERS).map(|index| format!("{index:0>63}").parse().unwrap());
    let awaited: BTreeSet<_> = names.collect();
    let terms = Terms {
        window: Some("Mon,Tue,Wed,Thu,Fri,Sat 22:00-02:00".parse().unwrap()),
        deadline_seconds: MAX_DEADLINE_SECONDS,
        awaited: awaited.clone(),
        hold_seconds: Some(MAX_DEADLINE_SECONDS - 1),
    };
    let generation = Generation { number: u64::MAX, version: u64::MAX, manifest: M.parse().unwrap() };
    let since = Moment { boot: BootId::of("some boot"), uptime_seconds: u64::MAX };
    let (before, next, boots) = (Some(generation.clone()), generation, MAX_BOOTS);
    let longest = State::Probation { before, next, terms, since, boots, ready: awaited };
    assert!(serde_json::to_vec(&longest).unwrap().len() <= 4096);
}

#[test]
fn what_stands_in_a_state_and_is_not_known_is_an_error() {
    for text in [r#"{"state":"idle","last":0,"more":1}"#, r#"{"state":"halted","last":0}"#, r#"{"state":"removed"}"#] {
        assert!(serde_json::from_str::<State>(text).is_err(), "{text}");
    }
}
