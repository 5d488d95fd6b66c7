use std::collections::BTreeSet;
use std::slice::from_ref;

use casemate_protocol::boundary::{Direction, Flow, FlowProtocol, Peer, PeerProtocol, Pins, Policy, Purpose, in_force};
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::ClockQuality;
use proptest::prelude::*;

use super::*;
use crate::time::{BootId, Moment, Now};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn at(boot: &str, uptime_seconds: u64) -> Now {
    let moment = Moment { boot: BootId::of(boot), uptime_seconds };
    Now { moment, wall: "2026-03-01T12:00:00Z".parse().unwrap(), clock: ClockQuality::Plausible }
}

fn peer(id: &str, host: u8, required: bool) -> Peer {
    Peer {
        id: name(id),
        protocol: PeerProtocol::Https,
        address: [10, 0, 0, host].into(),
        port: 8443,
        pins: Pins { current: Digest::of(id.as_bytes()), next: None },
        purpose: Purpose::Repository,
        required,
    }
}

fn flow(network: &str, ports: &str) -> Flow {
    Flow {
        purpose: name("work"),
        direction: Direction::Out,
        protocol: FlowProtocol::Tcp,
        network: network.parse().unwrap(),
        ports: Some(ports.parse().unwrap()),
        owner: None,
    }
}

fn policy(peers: &[Peer], flows: &[Flow]) -> Policy {
    Policy { peers: peers.to_vec(), flows: flows.to_vec(), ..Policy::default() }
}

fn offer(version: u64, policy: Policy) -> Offer {
    Offer::new(Some(name("lan")), Some(version), policy, None)
}

fn signed(offer: &Offer) -> Event {
    Event::Signed(Box::new(offer.clone()))
}

fn reached(peer: &str) -> Event {
    Event::Reached { peer: name(peer) }
}

fn settlements(step: &Step) -> Vec<(Option<u64>, Code)> {
    let settled = step.effects.iter().filter_map(|effect| match effect {
        Effect::Settle(settlement) => Some((settlement.version, settlement.code)),
        _ => None,
    });
    settled.collect()
}

/// A step, with everything every step must keep.
fn take(state: &State, event: &Event, now: &Now) -> Step {
    let taken = step(state.clone(), event, now);
    let (before, after) = (state.in_force().into_owned(), taken.state.in_force().into_owned());
    // Never wider than what is signed.
    let limit = taken.state.signed().map(|signed| signed.policy.clone()).unwrap_or_default();
    assert_eq!(limit.excess(&after), None, "{state:?} {event:?}");
    // Nothing but a signature widens.
    if !matches!(event, Event::Signed(_)) {
        assert_eq!(before.excess(&after), None, "{state:?} {event:?}");
    }
    // What holds only grows by what is signed and needs nobody, or was reached.
    let holds = state.holds().into_owned();
    if let State::Trial { before, .. } = &taken.state {
        assert_eq!(*before, holds);
    }
    if let State::FellBack { signed, force } = &taken.state
        && state.is_on_trial()
    {
        assert_eq!(*force, signed.policy.intersection(&holds));
        assert_eq!((holds.excess(force), signed.policy.excess(force)), (None, None));
    }
    // Nobody but required peers is counted, so a state stays small.
    if let State::Trial { signed, reached, .. } = &taken.state {
        assert!(reached.is_subset(&signed.required), "{reached:?}");
    }
    // What changes is said, and has to be enforced.
    assert_eq!(taken.changes, before.changes(&after));
    assert!(before == after || taken.effects.contains(&Effect::Enforce), "{state:?} {event:?}");
    // The journal's copy is the state, and the clock on the wall has no say.
    let copy: State = serde_json::from_str(&serde_json::to_string(&taken.state).unwrap()).unwrap();
    assert_eq!(copy, taken.state);
    for (wall, clock) in [("1970-01-01T00:00:00Z", ClockQuality::Untrusted), ("2099-01-01T00:00:00Z", now.clock)] {
        let elsewhen = Now { wall: wall.parse().unwrap(), clock, ..*now };
        assert_eq!(step(state.clone(), event, &elsewhen), taken);
    }
    // A crash after the journal was written: the start asks for the rest, and changes nothing by itself.
    let started = step(copy.clone(), &Event::Tick, now);
    assert_eq!((&started.state, started.effects.len()), (&copy, 0));
    let owed = taken.effects.iter().filter(|effect| !matches!(effect, Effect::Settle(_)));
    assert!(owed.into_iter().all(|effect| copy.pending().contains(effect)));
    assert_eq!(copy.is_on_trial(), due_in_seconds(&copy, now).is_some());
    assert_eq!(copy.is_on_trial(), !copy.awaited().is_empty());
    taken
}

fn world() -> Vec<Offer> {
    let (control, broker) = (peer("control", 1, true), peer("broker", 2, true));
    let wide = flow("10.1.0.0/16", "1-100");
    vec![
        offer(1, policy(&[], &[flow("10.1.2.0/24", "50-200")])),
        offer(2, policy(from_ref(&control), from_ref(&wide))),
        offer(3, policy(&[control.clone(), broker], &[flow("10.1.0.0/16", "80"), flow("10.2.0.0/16", "80")])),
        offer(4, policy(&[Peer { required: false, ..control }], &[])),
        Offer::new(None, None, Policy::default(), None),
        offer(2, policy(&[peer("control", 1, true)], &[wide, flow("10.3.0.0/16", "1")])),
    ]
}

#[test]
fn every_sequence_of_six_events_keeps_every_rule() {
    let offers = world();
    let mut events: Vec<(Event, u64, bool)> = offers.iter().map(|offer| (signed(offer), 1, false)).collect();
    events.push((reached("control"), 1, false));
    events.push((reached("broker"), 1, false));
    events.push((reached("stranger"), 1, false));
    events.push((Event::Tick, TRIAL_SECONDS - 3, false));
    events.push((Event::Tick, TRIAL_SECONDS, false));
    events.push((Event::Tick, 1, true));
    let mut seen = std::collections::HashSet::new();
    let mut open = vec![(State::Closed, 0_u64, 0_u32)];
    let mut steps = 0;
    for _ in 0..6 {
        for (state, uptime, boot) in std::mem::take(&mut open) {
            for (event, pause, restart) in &events {
                let (uptime, boot) = if *restart { (0, boot + 1) } else { (uptime + pause, boot) };
                let taken = take(&state, event, &at(&format!("boot {boot}"), uptime));
                steps += 1;
                // What is past does not matter, only how long the trial has gone on.
                let key = match &taken.state {
                    State::Trial { since, .. } => {
                        let mut text = serde_json::to_value(&taken.state).unwrap();
                        text["since"] = serde_json::json!(uptime - since.uptime_seconds);
                        text.to_string()
                    }
                    other => serde_json::to_string(other).unwrap(),
                };
                if seen.insert(key) {
                    open.push((taken.state, uptime, boot));
                }
            }
        }
    }
    assert!(seen.len() > 100 && steps > 2_000, "{} situations, {steps} steps", seen.len());
}

#[test]
fn a_boundary_within_what_holds_is_in_force_at_once_and_for_good() {
    let wide = offer(1, policy(&[peer("control", 1, false)], &[flow("10.1.0.0/16", "1-100")]));
    let state = take(&State::Closed, &signed(&wide), &at("a", 0)).state;
    let narrow = offer(2, policy(&[peer("control", 1, true)], &[flow("10.1.7.0/24", "80")]));
    let step = take(&state, &signed(&narrow), &at("a", 1));
    assert_eq!(step.state, State::Settled { signed: narrow.clone() });
    assert_eq!(settlements(&step), [(Some(2), Code::Applied)]);
    let later = take(&step.state, &Event::Tick, &at("b", 99_999));
    assert_eq!(*later.state.in_force(), narrow.policy);
}

#[test]
fn a_wider_boundary_without_required_peers_is_in_force_at_once() {
    let wide = offer(1, policy(&[peer("control", 1, false)], &[]));
    let step = take(&State::Closed, &signed(&wide), &at("a", 0));
    assert_eq!(step.state, State::Settled { signed: wide });
    assert_eq!(step.changes.len(), 1);
}

#[test]
fn a_wider_boundary_stays_once_every_required_peer_was_reached() {
    let wide = offer(1, policy(&[peer("control", 1, true), peer("broker", 2, true), peer("other", 3, false)], &[]));
    let step = take(&State::Closed, &signed(&wide), &at("a", 0));
    assert_eq!(settlements(&step), []);
    assert_eq!(*step.state.in_force(), wide.policy);
    assert_eq!(step.effects[1], Effect::Reach([name("broker"), name("control")].into()));
    let step = take(&step.state, &reached("other"), &at("a", 1));
    let step = take(&step.state, &reached("control"), &at("a", 2));
    assert_eq!(step.state.awaited(), BTreeSet::from([name("broker")]));
    let step = take(&step.state, &reached("broker"), &at("a", TRIAL_SECONDS - 1));
    assert_eq!(step.state, State::Settled { signed: wide });
    assert_eq!(settlements(&step), [(Some(1), Code::Applied)]);
}

#[test]
fn a_trial_that_fails_leaves_exactly_what_both_have() {
    let old = offer(1, policy(&[peer("control", 1, false)], &[flow("10.1.0.0/16", "1-100")]));
    let state = take(&State::Closed, &signed(&old), &at("a", 0)).state;
    let new = offer(2, policy(&[peer("broker", 2, true)], &[flow("10.0.0.0/8", "50-200")]));
    let state = take(&state, &signed(&new), &at("a", 10)).state;
    let still = take(&state, &Event::Tick, &at("a", 9 + TRIAL_SECONDS));
    assert!(still.state.is_on_trial());
    let step = take(&still.state, &Event::Tick, &at("a", 10 + TRIAL_SECONDS));
    assert_eq!(*step.state.in_force(), policy(&[], &[flow("10.1.0.0/16", "50-100")]));
    assert_eq!(settlements(&step), [(Some(2), Code::BoundaryUnreached)]);
    let Some(Effect::Settle(settlement)) = step.effects.last() else { panic!("{:?}", step.effects) };
    assert_eq!((&settlement.before, &settlement.after), (&old.policy, &*step.state.in_force()));
    // Too late is too late, and the same again is not tried again; a new version is.
    let late = take(&step.state, &reached("broker"), &at("a", 11 + TRIAL_SECONDS));
    assert_eq!(late.state, step.state);
    let again = take(&step.state, &signed(&new), &at("a", 9_999));
    assert_eq!((again.state.is_on_trial(), settlements(&again)), (false, vec![(Some(2), Code::FailedBefore)]));
    let anew = take(&step.state, &signed(&Offer { version: Some(3), ..new }), &at("a", 9_999));
    assert!(anew.state.is_on_trial());
    assert_eq!(anew.state.holds(), step.state.in_force());
}

#[test]
fn a_peer_reached_after_the_deadline_does_not_count() {
    let wide = offer(1, policy(&[peer("control", 1, true)], &[]));
    let state = take(&State::Closed, &signed(&wide), &at("a", 5)).state;
    let step = take(&state, &reached("control"), &at("a", 5 + TRIAL_SECONDS));
    assert_eq!(settlements(&step), [(Some(1), Code::BoundaryUnreached)]);
    assert!(step.state.in_force().is_empty());
}

#[test]
fn a_machine_that_restarts_again_and_again_ends_the_trial() {
    let wide = offer(1, policy(&[peer("control", 1, true), peer("broker", 2, true)], &[]));
    let mut state = take(&State::Closed, &signed(&wide), &at("run 1", 500)).state;
    state = take(&state, &reached("control"), &at("run 1", 501)).state;
    for run in 2..=MAX_BOOTS {
        state = take(&state, &Event::Tick, &at(&format!("run {run}"), 3)).state;
        assert!(state.is_on_trial(), "run {run}");
        assert_eq!(state.awaited().len(), 2, "everybody is asked anew");
    }
    let step = take(&state, &reached("control"), &at("one run more", 3));
    assert_eq!(settlements(&step), [(Some(1), Code::BoundaryUnreached)]);
}

#[test]
fn restarts_of_the_process_neither_lengthen_nor_end_a_trial() {
    let wide = offer(1, policy(&[peer("control", 1, true)], &[]));
    let mut state = take(&State::Closed, &signed(&wide), &at("a", 0)).state;
    for second in 1..TRIAL_SECONDS {
        state = take(&state, &Event::Tick, &at("a", second)).state;
        assert_eq!(due_in_seconds(&state, &at("a", second)), Some(TRIAL_SECONDS - second));
    }
    assert!(!take(&state, &Event::Tick, &at("a", TRIAL_SECONDS)).state.is_on_trial());
}

#[test]
fn a_newer_boundary_ends_a_trial_and_is_held_against_what_was_proven() {
    let proven = offer(1, policy(&[peer("control", 1, false)], &[]));
    let state = take(&State::Closed, &signed(&proven), &at("a", 0)).state;
    let tried = offer(2, policy(&[peer("control", 1, true), peer("broker", 2, true)], &[flow("10.1.0.0/16", "1-9")]));
    let state = take(&state, &signed(&tried), &at("a", 1)).state;
    // Less than the one on trial, but more than what was proven: a trial of its own.
    let newer = offer(3, policy(&[peer("control", 1, true)], &[flow("10.1.0.0/16", "1")]));
    let step = take(&state, &signed(&newer), &at("a", 2));
    assert_eq!(settlements(&step), [(Some(2), Code::Superseded)]);
    assert_eq!((*step.state.in_force()).clone(), newer.policy);
    assert!(step.state.is_on_trial());
    assert_eq!(*step.state.holds(), proven.policy);
    // Less than what was proven: no trial at all.
    let least = offer(4, Policy::default());
    let step = take(&step.state, &signed(&least), &at("a", 3));
    assert_eq!(settlements(&step), [(Some(3), Code::Superseded), (Some(4), Code::Applied)]);
    assert!(!step.state.is_on_trial() && step.state.in_force().is_empty());
}

#[test]
fn the_same_boundary_again_changes_nothing_and_does_not_end_its_trial() {
    let wide = offer(1, policy(&[peer("control", 1, true)], &[]));
    let state = take(&State::Closed, &signed(&wide), &at("a", 0)).state;
    let again = take(&state, &signed(&wide), &at("a", 100));
    assert_eq!((&again.state, again.effects.len()), (&state, 0));
    let settled = take(&state, &reached("control"), &at("a", 101)).state;
    let again = take(&settled, &signed(&wide), &at("a", 102));
    assert_eq!(settlements(&again), [(Some(1), Code::AlreadyApplied)]);
    // Another version that says the same changes nothing that is in force.
    let same = take(&settled, &signed(&Offer { version: Some(2), ..wide }), &at("a", 103));
    assert_eq!((settlements(&same), same.changes.len()), (vec![(Some(2), Code::AlreadyApplied)], 0));
}

#[test]
fn a_required_peer_that_the_site_takes_away_is_not_waited_for() {
    let wide = policy(&[peer("control", 1, true), peer("broker", 2, true)], &[]);
    let site = policy(&[peer("control", 1, false)], &[]);
    let offer = Offer::new(Some(name("lan")), Some(1), wide.clone(), Some(&site));
    assert_eq!(offer.required, BTreeSet::from([name("control")]));
    assert!(Offer::new(Some(name("lan")), Some(1), wide, Some(&Policy::default())).required.is_empty());
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let network = (0_u8..4, prop::sample::select(vec![8_u8, 14, 16, 24]));
    let network = network.prop_map(|(second, length)| match length {
        8 => "10.0.0.0/8".to_owned(),
        14 => "10.0.0.0/14".to_owned(),
        16 => format!("10.{second}.0.0/16"),
        _ => format!("10.{second}.7.0/24"),
    });
    let ports = (1_u16..6, 0_u16..4).prop_map(|(first, more)| format!("{first}-{}", first + more));
    let word = prop::sample::select(vec!["a", "b"]);
    let flow = (network, ports, any::<bool>(), word).prop_map(|(network, ports, out, purpose)| Flow {
        direction: if out { Direction::Out } else { Direction::In },
        purpose: name(purpose),
        ..flow(&network, &ports)
    });
    let pin = || prop::sample::select(vec!["x", "y", "z"]).prop_map(|word| Digest::of(word.as_bytes()));
    let pins = (pin(), prop::option::of(pin())).prop_map(|(current, next)| Pins { current, next });
    let peers = prop::collection::btree_map(1_u8..4, (pins, any::<bool>()), 0..3).prop_map(|peers| {
        let peer = |(host, (pins, required))| Peer { pins, ..peer(&format!("p{host}"), host, required) };
        peers.into_iter().map(peer).collect::<Vec<_>>()
    });
    let link = (prop::collection::vec(1_u8..4, 0..2), any::<bool>());
    let until = prop::option::of(prop::sample::select(vec!["2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"]));
    (peers, prop::collection::vec(flow, 0..5), link, until).prop_map(|(peers, flows, (gateways, dhcp), until)| Policy {
        listen: None,
        peers,
        flows,
        link: casemate_protocol::boundary::Link {
            gateways: gateways.into_iter().map(|host| [10, 0, 0, host].into()).collect(),
            dhcp,
        },
        observe_until: until.map(|until| until.parse().unwrap()),
    })
}

#[derive(Clone, Debug)]
enum Happening {
    Signed(u64, Policy),
    Reached(u8),
    Pause(u64),
    Reboot,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (1_u64..4, any_policy()).prop_map(|(version, policy)| Happening::Signed(version, policy)),
        3 => (1_u8..4).prop_map(Happening::Reached),
        2 => (0_u64..900).prop_map(Happening::Pause),
        1 => Just(Happening::Reboot),
    ]
}

proptest! {
    #[test]
    fn any_policies_in_any_order_keep_every_rule(story in prop::collection::vec(any_happening(), 1..24)) {
        let (mut state, mut uptime, mut boot) = (State::Closed, 0, 0);
        for happening in story {
            let event = match happening {
                Happening::Signed(version, policy) => signed(&offer(version, policy)),
                Happening::Reached(host) => reached(&format!("p{host}")),
                Happening::Pause(seconds) => { uptime += seconds; Event::Tick }
                Happening::Reboot => { (uptime, boot) = (0, boot + 1); Event::Tick }
            };
            state = take(&state, &event, &at(&format!("boot {boot}"), uptime)).state;
        }
        // Nothing waits for ever.
        let end = take(&state, &Event::Tick, &at(&format!("boot {boot}"), uptime + TRIAL_SECONDS));
        prop_assert!(!end.state.is_on_trial());
    }

    #[test]
    fn what_is_less_stays_as_it_is_where_the_enforcer_computes_it(ours in any_policy(), theirs in any_policy(), site in any_policy()) {
        let own = ours.intersection(&theirs);
        prop_assert_eq!((ours.excess(&own), theirs.excess(&own)), (None, None));
        prop_assert_eq!(own.clone().normal(), own.clone());
        // The agent leaves `own` of what is signed: the enforcer, who knows what is signed, comes to the same.
        prop_assert_eq!(in_force(&ours, Some(&own), None).digest(), own.digest());
        prop_assert_eq!(in_force(&theirs, Some(&own), None).digest(), own.digest());
        prop_assert_eq!(in_force(&ours, None, None), ours.clone().normal());
        let less = in_force(&ours, Some(&theirs), Some(&site));
        for limit in [&ours, &theirs, &site] {
            prop_assert_eq!(limit.excess(&less), None);
        }
        // Said in the normal way it allows what it allowed.
        prop_assert_eq!((ours.excess(&ours.clone().normal()), ours.clone().normal().excess(&ours)), (None, None));
    }
}
