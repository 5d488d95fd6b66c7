//! The machine against a model of a disk, with crashes between any two effects.

mod edges;
mod fleet;
mod journal;
mod trial;

use std::collections::BTreeSet;

use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::ClockQuality;
use casemate_protocol::tuf::time::UtcTime;
use proptest::prelude::*;

use super::*;
use crate::time::{BootId, Moment, Now};

/// What one owner's folders hold, and what its journal says.
#[derive(Default)]
struct Disk {
    journal: State,
    whole: BTreeSet<u64>,
    current: Option<u64>,
    settled: Vec<Settlement>,
}

/// What a test does to an owner.
#[derive(Clone, Debug)]
enum Act {
    Offer(u64),
    Leave,
}

/// How an effect ends, or that the process dies before it or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    Fails,
    DiesBefore,
    DiesAfter,
}

struct Died;

fn now() -> Now {
    let moment = Moment { boot: BootId::of("first"), uptime_seconds: 1000 };
    Now { moment, wall: UtcTime::from_unix(1_800_000_000), clock: ClockQuality::Plausible }
}

fn offer(version: u64) -> Event {
    Event::Offered(Offer { version, manifest: Digest::of(&version.to_le_bytes()), terms: Terms::default() })
}

impl Disk {
    /// What the shell does: journal, then effects, then their reports.
    fn take(&mut self, event: Event, fates: &mut impl Iterator<Item = Fate>) -> Result<(), Died> {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let Ok(Step { state, effects }) = step(self.journal.clone(), &event, &now()) else { return Ok(()) };
            self.journal = state;
            for effect in effects {
                self.check();
                next = self.perform(effect, fates)?.or(next);
                self.check();
            }
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect, fates: &mut impl Iterator<Item = Fate>) -> Result<Option<Event>, Died> {
        if let Effect::Settle(settlement) = effect {
            // Journalled together with the state: it cannot be lost between.
            self.settled.push(settlement);
            return Ok(None);
        }
        let fate = fates.next().unwrap_or(Fate::Works);
        if fate == Fate::DiesBefore {
            return Err(Died);
        }
        let report = self.act(effect, fate);
        if fate == Fate::DiesAfter { Err(Died) } else { Ok(report) }
    }

    fn act(&mut self, effect: Effect, fate: Fate) -> Option<Event> {
        let failed = |number| Some(Event::Failed { number, code: Code::DiskFull });
        match effect {
            Effect::Stage(Generation { number, .. }) if fate == Fate::Fails => failed(number),
            Effect::Stage(Generation { number, .. }) => {
                self.whole.insert(number);
                Some(Event::Staged { number })
            }
            Effect::Switch(Generation { number, .. }) => {
                assert!(self.whole.contains(&number), "switched to {number}, which is not whole");
                // A failed switch may have happened all the same: the rename worked, its fsync did not.
                self.current = Some(number);
                if fate == Fate::Fails { failed(number) } else { Some(Event::Switched { number }) }
            }
            Effect::Restore(before) => {
                self.current = before.map(|generation| generation.number);
                Some(Event::Restored)
            }
            Effect::Remove => {
                self.current = None;
                self.whole.clear();
                Some(Event::Removed)
            }
            Effect::Discard(Generation { number, .. }) => {
                assert_ne!(self.current, Some(number), "deleted what is current");
                self.whole.remove(&number);
                None
            }
            Effect::Settle(_) => None,
        }
    }

    /// A new process: does again what the journal says was under way.
    fn recover(&mut self, fates: &mut impl Iterator<Item = Fate>) {
        while let Some(effect) = self.journal.pending() {
            let Ok(Some(event)) = self.perform(effect, fates) else { continue };
            let _ = self.take(event, fates);
        }
        self.whole.retain(|number| self.journal.kept().any(|kept| kept.number == *number));
    }

    /// Holds at every moment, crash or not.
    fn check(&self) {
        assert!(self.current.is_none_or(|number| self.whole.contains(&number)), "current is not whole");
        for kept in self.journal.kept() {
            assert!(self.whole.contains(&kept.number), "{kept:?} is gone in {:?}", self.journal);
        }
        if let Some(current) = self.journal.current() {
            assert_eq!(self.current, Some(current.number), "journal and disk differ in {:?}", self.journal);
        }
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(prop_oneof![5 => (1..6u64).prop_map(Act::Offer), 1 => Just(Act::Leave)], 1..12)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        4 => Just(Fate::Works),
        1 => Just(Fate::Fails),
        2 => Just(Fate::DiesBefore),
        2 => Just(Fate::DiesAfter),
    ];
    prop::collection::vec(fate, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_owner_has_one_current_generation_and_it_is_whole_whatever_crashes(acts in acts(), fates in fates()) {
        let mut disk = Disk::default();
        let mut fates = fates.into_iter();
        for act in acts {
            let wanted = match act {
                Act::Offer(version) => offer(version),
                Act::Leave => Event::Left,
            };
            let settled = disk.settled.len();
            let last = disk.journal.last();
            let was_there = disk.journal.current().is_some();
            if disk.take(wanted, &mut fates).is_err() {
                disk.recover(&mut fates);
            }
            disk.check();
            prop_assert!(disk.journal.is_settled());
            prop_assert!(disk.journal.last() >= last, "a generation's number was given out twice");
            // Every act that means something is told exactly once, crash or not.
            let told = disk.settled.len() - settled;
            let expected = usize::from(matches!(act, Act::Offer(_)) || was_there);
            prop_assert_eq!(told, expected);
            let after = disk.settled.last().and_then(|settlement| settlement.after.clone());
            if told == 1 {
                prop_assert_eq!(after.as_ref(), disk.journal.current());
            }
            prop_assert!(disk.whole.len() <= 2, "generations pile up: {:?}", disk.whole);
        }
    }

    #[test]
    fn a_late_or_repeated_report_changes_nothing(version in 1..6u64, number in 0..6u64) {
        let mut disk = Disk::default();
        let _ = disk.take(offer(version), &mut std::iter::empty());
        let before = disk.journal.clone();
        let busy = step(before.clone(), &offer(version + 1), &now()).unwrap().state;
        let reports = |number| [
            Event::Staged { number },
            Event::Switched { number },
            Event::Failed { number, code: Code::Internal },
        ];
        for event in reports(number).into_iter().chain([Event::Restored, Event::Removed]) {
            let next = step(before.clone(), &event, &now()).unwrap();
            prop_assert_eq!((&next.state, next.effects.len()), (&before, 0));
        }
        for event in reports(if number == 2 { 3 } else { number }) {
            let next = step(busy.clone(), &event, &now()).unwrap();
            prop_assert_eq!((&next.state, next.effects.len()), (&busy, 0));
        }
    }
}

#[test]
fn the_same_content_again_is_already_applied() {
    let mut disk = Disk::default();
    let _ = disk.take(offer(1), &mut std::iter::empty());
    let _ = disk.take(offer(1), &mut std::iter::empty());
    let codes: Vec<_> = disk.settled.iter().map(|settlement| settlement.code).collect();
    assert_eq!(codes, [Code::Applied, Code::AlreadyApplied]);
    assert_eq!(disk.journal.last(), 1);
}

#[test]
fn a_failed_stage_keeps_what_is_current_and_says_why() {
    let mut disk = Disk::default();
    let _ = disk.take(offer(1), &mut std::iter::empty());
    let _ = disk.take(offer(2), &mut [Fate::Fails].into_iter());
    let last = disk.settled.last().unwrap();
    assert_eq!((last.code, disk.current), (Code::DiskFull, Some(1)));
    assert_eq!(last.before, last.after);
}

#[test]
fn a_busy_owner_takes_no_second_offer() {
    let busy = step(State::default(), &offer(1), &now()).unwrap().state;
    assert_eq!(step(busy.clone(), &offer(2), &now()), Err(StepError::UnderWay { number: 1 }));
    assert_eq!(step(busy, &Event::Left, &now()), Err(StepError::UnderWay { number: 1 }));
}

#[test]
fn numbers_go_on_after_an_owner_left_and_returned() {
    let mut disk = Disk::default();
    for event in [offer(1), Event::Left, offer(1)] {
        let _ = disk.take(event, &mut std::iter::empty());
    }
    assert_eq!(disk.current, Some(2));
}

#[test]
fn a_plan_takes_away_who_left_and_leaves_alone_whom_nothing_was_brought_for() {
    let owner = |name: &str| name.parse::<casemate_protocol::device::id::Owner>().unwrap();
    let committed = |version| {
        let mut disk = Disk::default();
        let _ = disk.take(offer(version), &mut std::iter::empty());
        disk.journal
    };
    let states = [
        ("group.gone", committed(1)),
        ("group.broken", committed(1)),
        ("tenant.left", State::Removed { last: 1, failed: None }),
    ];
    let states = states.map(|(name, state)| (owner(name), state)).into();
    let assigned = [owner("group.broken"), owner("group.new")].into();
    let Event::Offered(content) = offer(3) else { unreachable!() };
    let offers = [(owner("group.new"), content.clone()), (owner("group.stranger"), content)].into();
    let planned = plan(&states, &assigned, &offers).unwrap();
    assert_eq!(planned, [(owner("group.gone"), Event::Left), (owner("group.new"), offer(3))]);

    let busy = [(owner("group.new"), step(State::default(), &offer(1), &now()).unwrap().state)].into();
    assert_eq!(plan(&busy, &assigned, &offers), Err(PlanError::UnderWay { owner: owner("group.new") }));
}
