//! What is said to the broker, and when: presence, health, answers, receipts; one message under way at a time.
//!
//! The outbox is the truth: a receipt is forgotten here as soon as anything goes wrong, and asked for again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use casemate_protocol::broker::{Presence, Topic};
use casemate_protocol::device::id::ApplianceId;

use super::pace::Pace;
use super::session::{Outcome, Outgoing};

/// Time between two health reports nobody asked for.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Time between two health reports however often the state changes, and in which one more request is answered.
const BREATH: Duration = Duration::from_secs(10);
/// Requests answered at once.
const BURST: u32 = 4;
/// Receipts asked for at a time.
pub(super) const BATCH: usize = 8;
/// Pauses after a receipt was not taken.
const PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));

/// An answer that is owed.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Where to.
    pub(super) topic: String,
    /// What it repeats.
    pub(super) correlation: Option<Bytes>,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Step {
    /// Publish this.
    Publish(Outgoing, Flight),
    /// Ask for the health report.
    Health,
    /// Ask for receipts after this one.
    Receipts(u64),
}

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    /// Presence, health or an answer: said once, and said again in time.
    Passing,
    /// A receipt.
    Receipt(u64),
}

/// What is said, and when.
#[derive(Debug)]
pub(super) struct Desk {
    id: ApplianceId,
    flight: Option<(u16, Flight)>,
    passing: VecDeque<Outgoing>,
    answers: VecDeque<Answer>,
    /// Requests that may still be answered at once, since when.
    allowance: (u32, Instant),
    /// When the next report is due; `None` while there is no connection.
    report: Option<Instant>,
    reported: Option<Instant>,
    health_asked: bool,
    receipts: VecDeque<(u64, Vec<u8>)>,
    /// There may be receipts, after this one.
    after: Option<u64>,
    /// The last one that this connection is done with: the broker has it, or will not have it.
    reached: u64,
    /// Some of those wait: once the others are gone they are offered again.
    passed: bool,
    receipts_asked: bool,
    pace: Pace,
    rests: Option<Instant>,
}

impl Desk {
    /// Nothing to say yet.
    pub(super) fn new(id: ApplianceId, now: Instant) -> Self {
        Self {
            id,
            flight: None,
            passing: VecDeque::new(),
            answers: VecDeque::new(),
            allowance: (BURST, now),
            report: None,
            reported: None,
            health_asked: false,
            receipts: VecDeque::new(),
            after: None,
            reached: 0,
            passed: false,
            receipts_asked: false,
            pace: Pace::new(PAUSES.0, PAUSES.1),
            rests: None,
        }
    }

    /// What is retained while the appliance is, or is not, connected.
    pub(super) fn presence(&self, presence: Presence) -> Outgoing {
        let topic = Topic::Presence(&self.id).to_string();
        Outgoing { topic, payload: presence.as_str().into(), retain: true, correlation: None }
    }

    /// The broker has accepted us.
    pub(super) fn up(&mut self, now: Instant) {
        self.down();
        self.passing.push_back(self.presence(Presence::Online));
        self.report = Some(now);
        (self.after, self.reached, self.passed) = (Some(0), 0, false);
    }

    /// The connection has ended: what was under way may or may not have arrived.
    pub(super) fn down(&mut self) {
        self.flight = None;
        self.passing.clear();
        self.answers.clear();
        self.receipts.clear();
        self.after = None;
        self.report = None;
    }

    /// Somebody asks for health. `false`: too many do.
    pub(super) fn ask(&mut self, answer: Answer, now: Instant) -> bool {
        let (left, since) = self.allowance;
        let gained = now.saturating_duration_since(since).as_secs() / BREATH.as_secs();
        let left = u32::try_from(gained).unwrap_or(u32::MAX).saturating_add(left).min(BURST);
        if left == 0 {
            return false;
        }
        self.allowance = (left - 1, if gained > 0 { now } else { since });
        self.answers.push_back(answer);
        true
    }

    /// The state that health reports has changed.
    pub(super) fn health_changed(&mut self, now: Instant) {
        let earliest = self.reported.map_or(now, |reported| (reported + BREATH).max(now));
        self.report = self.report.map(|due| due.min(earliest));
    }

    /// There are new receipts.
    pub(super) fn receipts_changed(&mut self) {
        // Known ones are at hand, or are asked for when those at hand are gone.
        if self.receipts.is_empty() && self.after.is_none() {
            self.after = Some(self.reached);
        }
    }

    /// The report that was asked for; `None` if there is none to be had.
    pub(super) fn health(&mut self, report: Option<&[u8]>, now: Instant) {
        self.health_asked = false;
        let Some(report) = report else {
            self.answers.clear();
            self.report = self.report.map(|due| due.max(now + PAUSES.0));
            return;
        };
        let say = |topic, correlation| Outgoing { topic, payload: report.to_vec(), retain: false, correlation };
        let answers = self.answers.drain(..).map(|answer| say(answer.topic, answer.correlation));
        self.passing.extend(answers);
        if self.report.is_some_and(|due| due <= now) {
            self.passing.push_back(say(Topic::Health(&self.id).to_string(), None));
            self.report = Some(now + DAY);
            self.reported = Some(now);
        }
    }

    /// The receipts that were asked for; `None` if they cannot be had now.
    pub(super) fn receipts(&mut self, receipts: Option<Vec<(u64, Vec<u8>)>>, now: Instant) {
        self.receipts_asked = false;
        match receipts {
            Some(receipts) if receipts.is_empty() && std::mem::take(&mut self.passed) => self.rest(now),
            Some(receipts) => self.receipts = receipts.into(),
            None => self.rest(now),
        }
    }

    /// What to do next.
    pub(super) fn next(&mut self, now: Instant) -> Option<Step> {
        if self.flight.is_some() {
            return None;
        }
        if let Some(message) = self.passing.pop_front() {
            return Some(Step::Publish(message, Flight::Passing));
        }
        let wanted = !self.answers.is_empty() || self.report.is_some_and(|due| due <= now);
        if wanted && !self.health_asked {
            self.health_asked = true;
            return Some(Step::Health);
        }
        if self.rests.is_some_and(|until| until > now) || self.receipts_asked {
            return None;
        }
        if let Some((sequence, envelope)) = self.receipts.front() {
            let topic = Topic::Receipt(&self.id, *sequence).to_string();
            let message = Outgoing { topic, payload: envelope.clone(), retain: false, correlation: None };
            return Some(Step::Publish(message, Flight::Receipt(*sequence)));
        }
        let after = self.after.take()?;
        self.receipts_asked = true;
        Some(Step::Receipts(after))
    }

    /// It is under way with this packet id; `None`: the broker takes nothing so long.
    pub(super) fn sent(&mut self, flight: Flight, id: Option<u16>) {
        match (id, flight) {
            (Some(id), flight) => self.flight = Some((id, flight)),
            (None, Flight::Receipt(sequence)) => {
                tracing::warn!(receipt = sequence, "longer than the broker takes");
                self.pass(sequence);
            }
            (None, Flight::Passing) => {}
        }
    }

    /// What became of it. The number of a receipt that is home.
    pub(super) fn published(&mut self, id: u16, outcome: Outcome, now: Instant) -> Option<u64> {
        let (_, flight) = self.flight.take_if(|(flying, _)| *flying == id)?;
        let Flight::Receipt(sequence) = flight else { return None };
        match outcome {
            Outcome::Taken => {
                self.pace.reset();
                self.advance(sequence);
                Some(sequence)
            }
            Outcome::NobodyThere => {
                self.rest(now);
                None
            }
            // Perhaps only this one: the next may fare better.
            Outcome::Refused => {
                self.pass(sequence);
                self.rests = Some(self.pace.again(now));
                None
            }
        }
    }

    /// The first of those at hand is done with.
    fn advance(&mut self, sequence: u64) {
        self.receipts.pop_front();
        self.reached = sequence;
        if self.receipts.is_empty() {
            self.after = Some(sequence);
        }
    }

    /// As [`Desk::advance`]; it is offered again after those that follow it.
    fn pass(&mut self, sequence: u64) {
        self.passed = true;
        self.advance(sequence);
    }

    /// Receipts wait; all of them, so that they arrive in order.
    fn rest(&mut self, now: Instant) {
        self.receipts.clear();
        (self.after, self.reached, self.passed) = (Some(0), 0, false);
        self.rests = Some(self.pace.again(now));
    }

    /// When something is due.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.report.is_none() || self.flight.is_some() {
            return None;
        }
        let report = self.report.filter(|_| !self.health_asked);
        let rests = self.rests.filter(|until| *until > now && self.after.is_some());
        [report, rests].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what there is to say at `now`; the broker answers receipts so, `None` being too long. Which were offered.
    fn offered(
        desk: &mut Desk,
        now: Instant,
        kept: &mut Vec<u64>,
        answer: impl Fn(u64) -> Option<Outcome>,
    ) -> Vec<u64> {
        let mut offered = Vec::new();
        while let Some(step) = desk.next(now) {
            match step {
                Step::Publish(_, Flight::Receipt(sequence)) => {
                    offered.push(sequence);
                    let answer = answer(sequence);
                    desk.sent(Flight::Receipt(sequence), answer.map(|_| 1));
                    let home = answer.and_then(|outcome| desk.published(1, outcome, now));
                    kept.retain(|number| Some(*number) != home);
                }
                Step::Publish(_, Flight::Passing) => {}
                Step::Health => desk.health(Some(b"health"), now),
                Step::Receipts(after) => {
                    let rest = kept.iter().filter(|number| **number > after).map(|number| (*number, vec![0]));
                    desk.receipts(Some(rest.take(BATCH).collect()), now);
                }
            }
            assert!(offered.len() < 1000, "no busy loop");
        }
        offered
    }

    #[test]
    fn a_receipt_the_broker_never_takes_holds_up_no_other() {
        for never in [None, Some(Outcome::Refused)] {
            let mut now = Instant::now();
            let mut desk = Desk::new("clinic-7".parse().unwrap(), now);
            desk.up(now);
            let mut kept: Vec<u64> = (1..=20).collect();
            let answer = |sequence| if sequence == 1 { never } else { Some(Outcome::Taken) };
            assert_eq!(offered(&mut desk, now, &mut kept, answer)[0], 1);
            now += PAUSES.1;
            offered(&mut desk, now, &mut kept, answer);
            assert_eq!(kept, [1], "{never:?}");
            kept.push(21);
            desk.receipts_changed();
            now += PAUSES.1 * 2;
            offered(&mut desk, now, &mut kept, answer);
            now += PAUSES.1 * 2;
            offered(&mut desk, now, &mut kept, answer);
            assert_eq!(kept, [1], "{never:?}");
            now += PAUSES.1 * 2;
            offered(&mut desk, now, &mut kept, |_| Some(Outcome::Taken));
            now += PAUSES.1 * 2;
            offered(&mut desk, now, &mut kept, |_| Some(Outcome::Taken));
            assert!(kept.is_empty(), "it is offered again");
        }
    }

    #[test]
    fn while_nobody_subscribes_receipts_stay_in_order() {
        let now = Instant::now();
        let mut desk = Desk::new("clinic-7".parse().unwrap(), now);
        desk.up(now);
        let mut kept: Vec<u64> = (1..=3).collect();
        assert_eq!(offered(&mut desk, now, &mut kept, |_| Some(Outcome::NobodyThere)), [1]);
        let later = now + PAUSES.1;
        assert_eq!(offered(&mut desk, later, &mut kept, |_| Some(Outcome::Taken)), [1, 2, 3]);
    }
}
