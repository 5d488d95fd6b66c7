//! Several owners, one open bundle, and everything that can come in between: reports, probes, ticks, jumping clocks,
//! newer bundles, departures, restarts of the process and of the machine, and crashes between any two effects.
//!
//! [`Appliance`] does what the shell does (`agent/src/apply/drive.rs`, `agent/src/runtime/`), on a model of a disk.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::ClockQuality;
use casemate_protocol::tuf::time::UtcTime;
use proptest::prelude::*;

use super::super::*;
use super::{Died, Fate};
use crate::time::{BootId, Moment, Now};

const DEADLINE: u64 = 600;
const OWNERS: usize = 3;
const DAY: u64 = 86_400;

/// What a test does to an appliance.
#[derive(Clone, Debug)]
enum Act {
    /// A bundle with the newest content of every assigned owner, after these changes to what is signed.
    Bundle {
        signed_anew: Vec<(usize, u8, u8)>,
        assigned: [bool; OWNERS],
    },
    Report {
        owner: usize,
        consumer: usize,
        ready: bool,
        late: bool,
    },
    Held {
        owner: usize,
        late: bool,
    },
    /// Time passes, and what is due is due.
    Pass(u64),
    /// Time passes and nobody looks.
    Sleep(u64),
    Clock(u64, ClockQuality),
    Restart,
    Reboot,
}

/// What is signed for one owner.
#[derive(Clone, Debug)]
struct Signed {
    version: u64,
    content: u8,
    terms: Terms,
}

/// One owner's folders, journal, and what a witness saw.
#[derive(Clone, Debug, Default)]
struct Place {
    journal: State,
    whole: BTreeSet<u64>,
    current: Option<u64>,
    /// What was committed last: only the journal's own steps towards a newer one may leave it.
    committed: Option<Generation>,
    /// Content that failed a trial, with the version it had.
    failed: Vec<(Digest, u64)>,
    /// Why the part of the open bundle may end as it does.
    blame: BTreeSet<Code>,
    /// Since when the trial runs, in this run of the machine, and who said ready in it.
    trial: Option<Moment>,
    ready: BTreeSet<Name>,
    held: bool,
}

/// The open bundle: whom it concerns, and who is final.
type Open = (BTreeSet<Owner>, Vec<(Owner, Settlement)>);

struct Appliance<F: Iterator<Item = Fate>> {
    owners: BTreeMap<Owner, Place>,
    signed: BTreeMap<Owner, Signed>,
    assigned: BTreeSet<Owner>,
    /// Whose outcomes the receipt must hold, and those there are.
    open: Option<Open>,
    accepted: usize,
    receipts: usize,
    boots: u64,
    uptime: u64,
    wall: u64,
    clock: ClockQuality,
    fates: F,
}

fn owners() -> Vec<Owner> {
    ["group.a", "group.b", "tenant.c"].map(|name| name.parse().unwrap()).into()
}

fn consumer(index: usize) -> Name {
    ["one", "two", "stranger"][index].parse().unwrap()
}

fn terms(kind: u8) -> Terms {
    let window = (kind & 1 > 0).then(|| "Sun 02:00-05:00".parse().unwrap());
    let awaited = if kind & 2 > 0 { BTreeSet::from([consumer(0), consumer(1)]) } else { BTreeSet::new() };
    Terms { window, deadline_seconds: DEADLINE, awaited, hold_seconds: (kind & 4 > 0).then_some(10) }
}

fn digest(content: u8) -> Digest {
    Digest::of(&[content])
}

impl<F: Iterator<Item = Fate>> Appliance<F> {
    fn new(fates: F) -> Self {
        let signed = |owner| (owner, Signed { version: 1, content: 0, terms: Terms::default() });
        Self {
            owners: owners().into_iter().map(|owner| (owner, Place::default())).collect(),
            signed: owners().into_iter().map(signed).collect(),
            assigned: BTreeSet::new(),
            open: None,
            accepted: 0,
            receipts: 0,
            boots: 1,
            uptime: 1000,
            wall: 1_800_000_000,
            clock: ClockQuality::Plausible,
            fates,
        }
    }

    fn now(&self) -> Now {
        let moment = Moment { boot: BootId::of(&self.boots.to_string()), uptime_seconds: self.uptime };
        Now { moment, wall: UtcTime::from_unix(self.wall), clock: self.clock }
    }

    fn place(&mut self, owner: &Owner) -> &mut Place {
        self.owners.get_mut(owner).unwrap()
    }

    fn states(&self) -> BTreeMap<Owner, State> {
        self.owners.iter().map(|(owner, place)| (owner.clone(), place.journal.clone())).collect()
    }

    fn is_settled(&self) -> bool {
        self.owners.values().all(|place| place.journal.is_settled())
    }

    /// A bundle is imported: what waits or is on trial ends first.
    fn import(&mut self) -> Result<(), Died> {
        let waiting: Vec<_> = self.owners.iter().filter(|(_, place)| place.journal.is_waiting()).collect();
        let ends: Vec<_> = waiting.into_iter().map(|(owner, _)| (owner.clone(), Event::Superseded)).collect();
        for (owner, _) in &ends {
            self.place(owner).blame.insert(Code::Superseded);
        }
        self.drive(ends, None)?;
        self.close();
        let offer = |signed: &Signed| Offer {
            version: signed.version,
            manifest: digest(signed.content),
            terms: signed.terms.clone(),
        };
        let offers: BTreeMap<_, _> =
            self.assigned.iter().map(|owner| (owner.clone(), offer(&self.signed[owner]))).collect();
        let events = plan(&self.states(), &self.assigned, &offers).expect("everything is settled");
        for (owner, event) in &events {
            let alone = BTreeMap::from([(owner.clone(), self.owners[owner].journal.clone())]);
            let event = (owner.clone(), event.clone());
            assert_eq!(plan(&alone, &self.assigned, &offers).unwrap().iter().find(|(of, _)| of == owner), Some(&event));
        }
        let concerned = events.iter().map(|(owner, _)| owner.clone()).collect();
        self.drive(events, Some(concerned))?;
        self.close();
        Ok(())
    }

    /// What `apply::drive` does: one transaction for the steps of all owners, then their effects in order.
    fn drive(&mut self, mut events: Vec<(Owner, Event)>, opens: Option<BTreeSet<Owner>>) -> Result<(), Died> {
        if let Some(concerned) = opens {
            assert!(self.open.is_none(), "two bundles are open");
            self.accepted += 1;
            for owner in &concerned {
                self.place(owner).blame.clear();
            }
            self.open = Some((concerned, Vec::new()));
        }
        while !events.is_empty() {
            let mut effects = Vec::new();
            for (owner, event) in events.drain(..) {
                let now = self.now();
                let place = self.owners.get_mut(&owner).unwrap();
                let next = step(place.journal.clone(), &event, &now).expect("the shell asks only who is free");
                place.witness(&next.state, &event, &now);
                place.journal = next.state;
                for effect in next.effects {
                    match effect {
                        Effect::Settle(settlement) => self.settled(&owner, settlement),
                        effect => effects.push((owner.clone(), effect)),
                    }
                }
            }
            for (owner, effect) in effects {
                self.check();
                events.extend(self.perform(&owner, effect)?.map(|event| (owner, event)));
                self.check();
            }
        }
        self.check();
        Ok(())
    }

    fn settled(&mut self, owner: &Owner, settlement: Settlement) {
        let place = self.owners.get_mut(owner).unwrap();
        match settlement.code {
            Code::Applied => assert!(settlement.after.is_some() && settlement.after == place.committed),
            Code::Removed => assert_eq!(settlement.after, None),
            Code::AlreadyApplied | Code::FailedBefore => assert_eq!(settlement.after, place.committed),
            code => {
                assert!(place.blame.contains(&code), "{owner} ends with {code:?}, only {:?} happened", place.blame);
                assert_eq!(settlement.after, place.committed, "what was committed stays");
            }
        }
        let (concerned, outcomes) = self.open.as_mut().expect("an outcome without a bundle");
        assert!(concerned.contains(owner), "{owner} has no part in the open bundle");
        assert!(outcomes.iter().all(|(other, _)| other != owner), "{owner} ends twice");
        outcomes.push((owner.clone(), settlement));
    }

    /// Writes the receipt, once every owner is final: one transaction with closing the bundle.
    fn close(&mut self) {
        if !self.is_settled() {
            return;
        }
        if let Some((concerned, outcomes)) = self.open.take() {
            let told: BTreeSet<_> = outcomes.into_iter().map(|(owner, _)| owner).collect();
            assert_eq!(told, concerned, "the receipt names every owner, once");
            self.receipts += 1;
        }
    }

    fn perform(&mut self, owner: &Owner, effect: Effect) -> Result<Option<Event>, Died> {
        let fate = self.fates.next().unwrap_or(Fate::Works);
        // A return or removal that fails stops the agent: it is left pending, for a restart.
        let stops = fate == Fate::Fails && matches!(effect, Effect::Restore(_) | Effect::Remove);
        if fate == Fate::DiesBefore || stops {
            return Err(Died);
        }
        let assigned = self.assigned.contains(owner);
        let report = self.place(owner).act(effect, fate, assigned);
        if fate == Fate::DiesAfter { Err(Died) } else { Ok(report) }
    }

    /// A new process: does again what was under way, looks at what is due, sweeps, and writes the receipt it owes.
    fn start(&mut self) {
        'again: loop {
            let mut events = Vec::new();
            for (owner, state) in self.states() {
                if let Some(effect) = state.pending() {
                    match self.perform(&owner, effect) {
                        Ok(event) => events.extend(event.map(|event| (owner, event))),
                        Err(Died) => continue 'again,
                    }
                } else if state.is_waiting() {
                    events.push((owner, Event::Tick));
                }
            }
            if self.drive(events, None).is_ok() {
                break;
            }
        }
        for place in self.owners.values_mut() {
            let keep: BTreeSet<_> = place.journal.kept().map(|generation| generation.number).collect();
            place.whole.retain(|number| keep.contains(number));
            assert!(place.whole.len() <= 2, "generations pile up: {:?} in {:?}", place.whole, place.journal);
        }
        self.close();
        self.check();
    }

    fn tick(&mut self) {
        let waiting = self.owners.iter().filter(|(_, place)| place.journal.is_waiting());
        let events = waiting.map(|(owner, _)| (owner.clone(), Event::Tick)).collect();
        self.tell(events);
    }

    /// Carries events of owners under way through, whatever crashes.
    fn tell(&mut self, events: Vec<(Owner, Event)>) {
        match self.drive(events, None) {
            Ok(()) => self.close(),
            Err(Died) => self.start(),
        }
    }

    fn reboot(&mut self) {
        self.boots += 1;
        self.uptime = 20;
        self.start();
    }

    fn pass(&mut self, seconds: u64) {
        self.uptime += seconds;
        self.wall += seconds;
    }

    fn under_way(&self, owner: &Owner, late: bool) -> u64 {
        let number = self.owners[owner].journal.last();
        if late { number.saturating_sub(1) } else { number }
    }

    fn take(&mut self, act: Act) {
        let owner = |index: usize| owners()[index].clone();
        match act {
            Act::Bundle { signed_anew, assigned } => {
                for (index, content, kind) in signed_anew {
                    let signed = self.signed.get_mut(&owner(index)).unwrap();
                    *signed = Signed { version: signed.version + 1, content, terms: terms(kind) };
                }
                self.assigned = (0..OWNERS).filter(|index| assigned[*index]).map(owner).collect();
                if self.import().is_err() {
                    self.start();
                }
            }
            Act::Report { owner: index, consumer: by, ready, late } => {
                let (owner, number) = (owner(index), self.under_way(&owner(index), late));
                let report = if ready { Report::Ready } else { Report::Failed { reason: None } };
                self.tell(vec![(owner, Event::Reported { number, consumer: consumer(by), report })]);
            }
            Act::Held { owner: index, late } => {
                let number = self.under_way(&owner(index), late);
                self.tell(vec![(owner(index), Event::Held { number })]);
            }
            Act::Pass(seconds) => {
                self.pass(seconds);
                self.tick();
            }
            Act::Sleep(seconds) => self.pass(seconds),
            Act::Clock(wall, clock) => (self.wall, self.clock) = (wall, clock),
            Act::Restart => self.start(),
            Act::Reboot => self.reboot(),
        }
        self.check();
    }

    /// Nobody reports any more: what waits has to end all the same, by time or by restarts alone.
    fn run_dry(&mut self, by_restarts: bool) {
        for round in 0.. {
            let now = self.now();
            let due = self.owners.values().filter_map(|place| due_in_seconds(&place.journal, &now)).min();
            let Some(due) = due else { break };
            assert!(round <= 8, "{:?} waits for ever", self.states());
            assert!(due <= 7 * DAY, "a wait of {due} s");
            let probation = |place: &Place| matches!(place.journal, State::Probation { .. });
            if by_restarts && self.owners.values().any(probation) {
                self.pass(1);
                self.reboot();
            } else {
                self.pass(due);
                self.tick();
            }
        }
        assert!(self.is_settled() && self.open.is_none());
        assert_eq!(self.receipts, self.accepted, "every bundle ends in exactly one receipt");
    }

    /// Holds at every moment, crash or not.
    fn check(&self) {
        for (owner, place) in &self.owners {
            let state = &place.journal;
            assert!(place.current.is_none_or(|number| place.whole.contains(&number)), "{owner}: current is not whole");
            for kept in state.kept() {
                let pending = matches!(state.pending(), Some(Effect::Stage(next)) if next == *kept);
                assert!(pending || place.whole.contains(&kept.number), "{owner}: {kept:?} is gone in {state:?}");
            }
            if let Some(current) = state.current() {
                assert_eq!(place.current, Some(current.number), "{owner}: journal and disk differ in {state:?}");
            }
            if state.is_settled() {
                assert_eq!(state.current(), place.committed.as_ref(), "{owner}: settled on what was not committed");
            }
            // What is current, what is under way, and what a crash kept from being deleted.
            assert!(place.whole.len() <= 3, "{owner}: generations pile up: {:?}", place.whole);
        }
    }
}

impl Place {
    /// Writes down what the step from the journalled state to `next` may be justified with, and judges it.
    fn witness(&mut self, next: &State, event: &Event, now: &Now) {
        self.remember(event, now);
        if let (State::Switching { before, .. } | State::Probation { before, .. }, State::Committed { previous, .. }) =
            (&self.journal, next)
        {
            assert_eq!(before, previous, "the one return there is must lead to what was committed before");
        }
        match (&self.journal, next) {
            (State::Switching { .. }, State::Probation { .. }) => {
                (self.trial, self.held) = (Some(now.moment), false);
                self.ready.clear();
            }
            (State::Switching { terms, next, .. }, State::Committed { current, .. }) => {
                assert!(!terms.is_gated() && current == next, "committed without confirmation");
                self.committed = Some(next.clone());
            }
            (State::Probation { terms, next, .. }, State::Committed { current, .. }) => {
                let passed = self.trial.unwrap().seconds_until(&now.moment).expect("not in this run of the machine");
                assert!(passed < terms.deadline_seconds, "committed after the deadline");
                assert!(terms.awaited.is_subset(&self.ready), "committed with {:?} only", self.ready);
                assert!(terms.hold_seconds.is_none() || self.held, "committed without probes");
                assert_eq!(current, next);
                self.committed = Some(next.clone());
            }
            (State::Probation { next, .. }, State::Restoring { abandoned, code, .. }) => {
                assert_eq!(abandoned, next);
                if *code != Code::Superseded {
                    self.failed.push((next.manifest, next.version));
                }
            }
            (State::Staging { terms, .. }, State::Switching { .. }) => {
                let known = now.clock == ClockQuality::Plausible;
                let open = terms.window.is_none_or(|window| known && window.contains(now.wall));
                assert!(open, "switched outside the window");
            }
            (State::Waiting { terms, since, .. }, State::Switching { .. }) => {
                let waited = since.seconds_until(&now.moment);
                let open = terms.window.is_none_or(|window| match now.clock {
                    ClockQuality::Plausible => window.contains(now.wall),
                    ClockQuality::Untrusted => waited.is_none_or(|waited| waited >= window.longest_wait_seconds()),
                });
                assert!(open, "switched outside the window");
            }
            (State::Removing { .. }, State::Removed { .. }) => self.committed = None,
            _ => {}
        }
    }

    fn remember(&mut self, event: &Event, now: &Now) {
        let State::Probation { next, terms, boots, ready, .. } = &self.journal else { return };
        let passed = self.trial.and_then(|since| since.seconds_until(&now.moment));
        match event {
            Event::Tick | Event::Reported { .. } | Event::Held { .. } if passed.is_none() => {
                (self.trial, self.held) = (Some(now.moment), false);
                self.ready.clear();
                if *boots >= MAX_BOOTS {
                    self.blame.insert(Code::ProbationInterrupted);
                }
            }
            Event::Tick | Event::Reported { .. } | Event::Held { .. }
                if passed.is_some_and(|passed| passed >= DEADLINE) =>
            {
                let silent = !terms.awaited.is_subset(ready);
                self.blame.insert(if silent { Code::ConsumerSilent } else { Code::ProbeFailed });
            }
            _ => {}
        }
        match event {
            Event::Reported { number, consumer, report } if *number == next.number => match report {
                Report::Ready => drop(self.ready.insert(consumer.clone())),
                Report::Failed { .. } if terms.awaited.contains(consumer) => {
                    self.blame.insert(Code::ConsumerFailed);
                }
                Report::Failed { .. } => {}
            },
            Event::Held { number } => self.held = *number == next.number && terms.awaited.is_subset(&self.ready),
            _ => {}
        }
    }

    fn act(&mut self, effect: Effect, fate: Fate, assigned: bool) -> Option<Event> {
        match effect {
            Effect::Stage(Generation { number, version, manifest }) => {
                let known = |(failed, at): &(Digest, u64)| *failed == manifest && version <= *at;
                assert!(!self.failed.iter().any(known), "content that failed is tried again unchanged");
                if fate == Fate::Fails {
                    return self.fails(number);
                }
                self.whole.insert(number);
                Some(Event::Staged { number })
            }
            Effect::Switch(Generation { number, .. }) => {
                assert!(self.whole.contains(&number), "switched to {number}, which is not whole");
                let newer = self.committed.as_ref().is_none_or(|committed| number > committed.number);
                assert!(newer, "left what is committed for {number}, which is not newer");
                // A failed switch may have happened all the same: the rename worked, its fsync did not.
                self.current = Some(number);
                if fate == Fate::Fails { self.fails(number) } else { Some(Event::Switched { number }) }
            }
            Effect::Restore(before) => {
                assert_eq!(before, self.committed, "returned to what was not committed");
                self.current = before.map(|generation| generation.number);
                Some(Event::Restored)
            }
            Effect::Remove => {
                assert!(!assigned, "took away an owner that is assigned");
                self.current = None;
                self.whole.clear();
                Some(Event::Removed)
            }
            Effect::Discard(Generation { number, .. }) => {
                assert_ne!(self.current, Some(number), "deleted what is current");
                self.whole.remove(&number);
                None
            }
            Effect::Settle(_) => unreachable!("goes into the journal"),
        }
    }

    fn fails(&mut self, number: u64) -> Option<Event> {
        self.blame.insert(Code::DiskFull);
        Some(Event::Failed { number, code: Code::DiskFull })
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // Few contents, so that the same comes again; signed anew or not.
    let signed = prop::collection::vec((0..OWNERS, 0..3u8, 0..8u8), 0..4);
    let assigned = [prop::bool::weighted(0.9), prop::bool::weighted(0.8), prop::bool::weighted(0.6)];
    let quality = prop_oneof![Just(ClockQuality::Plausible), Just(ClockQuality::Untrusted)];
    let seconds = || prop_oneof![1..60u64, 500..700u64, 0..8 * DAY];
    let act = prop_oneof![
        6 => (signed, assigned).prop_map(|(signed_anew, assigned)| Act::Bundle { signed_anew, assigned }),
        12 => (0..OWNERS, 0..3usize, prop::bool::weighted(0.85), prop::bool::weighted(0.1))
            .prop_map(|(owner, consumer, ready, late)| Act::Report { owner, consumer, ready, late }),
        5 => (0..OWNERS, prop::bool::weighted(0.1)).prop_map(|(owner, late)| Act::Held { owner, late }),
        4 => seconds().prop_map(Act::Pass),
        2 => seconds().prop_map(Act::Sleep),
        1 => (1_790_000_000..1_810_000_000u64, quality).prop_map(|(wall, clock)| Act::Clock(wall, clock)),
        2 => Just(Act::Restart),
        2 => Just(Act::Reboot),
    ];
    prop::collection::vec(act, 1..40)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        12 => Just(Fate::Works),
        1 => Just(Fate::Fails),
        1 => Just(Fate::DiesBefore),
        1 => Just(Fate::DiesAfter),
    ];
    prop::collection::vec(fate, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_owner_stays_whole_and_every_bundle_ends_once_whatever_happens(
        acts in acts(), fates in fates(), by_restarts: bool,
    ) {
        let mut appliance = Appliance::new(fates.into_iter());
        for act in acts {
            appliance.take(act);
        }
        appliance.run_dry(by_restarts);
    }
}
