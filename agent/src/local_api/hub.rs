//! The last events, for whoever follows and for whoever comes back.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::event::{Event, EventKind};
use super::log;

/// Events kept. Followers have no queue of their own: who is further behind starts anew from the tree.
const KEPT: usize = 256;

/// Where the runtime tells what changed, and followers learn of it. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub(Arc<watch::Sender<Ring>>);

#[derive(Debug)]
struct Ring {
    /// Journal size as last told.
    head: u64,
    /// Every event after this sequence is still here.
    complete_after: u64,
    /// Events ever told; the last `events.len()` of them are here.
    told: u64,
    events: VecDeque<Event>,
}

/// One follower's place.
#[derive(Debug)]
pub struct Follower {
    ring: watch::Receiver<Ring>,
    /// Events told before the next one.
    place: u64,
    /// What it asked for is gone: the first thing it is told.
    reset: bool,
}

/// What a follower is told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// These happened, oldest first. `true` beside one that ends its sequence: whoever resumes after it misses nothing.
    Events(Vec<(Event, bool)>),
    /// The follower fell so far behind that events are gone.
    Overrun,
    /// The agent is stopping.
    Ended,
}

impl Hub {
    /// A hub for a journal of `sequence` entries.
    #[must_use]
    pub fn new(sequence: u64) -> Self {
        let ring = Ring { head: sequence, complete_after: sequence, told: 0, events: VecDeque::new() };
        Self(Arc::new(watch::Sender::new(ring)))
    }

    /// Tells that the journal has `sequence` entries now, and what that changed; call it after every durable write,
    /// also one that followers need not know of.
    pub fn publish(&self, sequence: u64, changes: impl IntoIterator<Item = EventKind>) {
        let changes = changes.into_iter();
        self.0.send_if_modified(|ring| {
            let before = ring.told;
            ring.head = ring.head.max(sequence);
            for kind in changes {
                log::note(sequence, &kind);
                if ring.events.len() == KEPT
                    && let Some(gone) = ring.events.pop_front()
                {
                    ring.complete_after = gone.sequence;
                }
                ring.events.push_back(Event { sequence, kind });
                ring.told += 1;
            }
            ring.told != before
        });
    }

    /// A follower of what comes after `sequence`; from now on, if none is given.
    #[must_use]
    pub fn follow(&self, after: Option<u64>) -> Follower {
        let receiver = self.0.subscribe();
        let ring = receiver.borrow();
        let first = ring.told - ring.events.len() as u64;
        let (place, reset) = match after {
            None => (ring.told, false),
            // Of a journal that was set aside, or from before the oldest event here.
            Some(after) if after > ring.head || after < ring.complete_after => (ring.told, true),
            Some(after) => (first + ring.events.partition_point(|event| event.sequence <= after) as u64, false),
        };
        drop(ring);
        Follower { ring: receiver, place, reset }
    }
}

impl Follower {
    /// Waits until there is something to tell.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.ready() {
                return news;
            }
            if self.ring.changed().await.is_err() {
                return News::Ended;
            }
        }
    }

    fn ready(&mut self) -> Option<News> {
        let ring = self.ring.borrow_and_update();
        if std::mem::take(&mut self.reset) {
            self.place = ring.told;
            return Some(News::Events(vec![(Event { sequence: ring.head, kind: EventKind::Reset }, true)]));
        }
        let first = ring.told - ring.events.len() as u64;
        let Some(skip) = self.place.checked_sub(first) else {
            return Some(News::Overrun);
        };
        let fresh = ring.events.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        let mut events: Vec<(Event, bool)> = Vec::new();
        for event in fresh {
            if let Some((before, ends)) = events.last_mut() {
                *ends = before.sequence != event.sequence;
            }
            events.push((event.clone(), true));
        }
        self.place = ring.told;
        (!events.is_empty()).then_some(News::Events(events))
    }
}

#[cfg(test)]
mod tests {
    use casemate_protocol::code::Code;

    use super::super::event::ReceiptEvent;
    use super::*;

    fn receipt(receipt: u64) -> EventKind {
        EventKind::Receipt(ReceiptEvent { receipt, code: Code::Applied })
    }

    /// What a follower is told without waiting: sequences, and whether each ends its own; `None` if overrun.
    fn told(follower: &mut Follower) -> Option<Vec<(u64, bool)>> {
        match follower.ready() {
            None => Some(Vec::new()),
            Some(News::Events(events)) => Some(events.iter().map(|(event, ends)| (event.sequence, *ends)).collect()),
            Some(News::Overrun | News::Ended) => None,
        }
    }

    #[test]
    fn a_follower_is_told_what_comes_after_and_everything_once() {
        let hub = Hub::new(10);
        let mut early = hub.follow(None);
        hub.publish(11, [receipt(1), receipt(2)]);
        hub.publish(12, []);
        hub.publish(13, [receipt(3)]);
        assert_eq!(told(&mut early).unwrap(), [(11, false), (11, true), (13, true)]);
        assert_eq!(told(&mut early).unwrap(), []);
        for (after, wanted) in [(10, 3), (11, 1), (12, 1), (13, 0)] {
            assert_eq!(told(&mut hub.follow(Some(after))).unwrap().len(), wanted, "after {after}");
        }
        assert_eq!(told(&mut hub.follow(None)).unwrap(), []);
    }

    #[test]
    fn whoever_asks_for_what_is_gone_is_reset_and_then_told_what_follows() {
        let hub = Hub::new(10);
        // Before this hub, and of a journal that was longer than this one.
        for after in [0, 9, 11] {
            let mut follower = hub.follow(Some(after));
            assert_eq!(
                follower.ready(),
                Some(News::Events(vec![(Event { sequence: 10, kind: EventKind::Reset }, true)]))
            );
            assert_eq!(told(&mut follower).unwrap(), []);
        }
        let mut follower = hub.follow(Some(0));
        hub.publish(11, [receipt(1)]);
        assert_eq!(told(&mut follower).unwrap(), [(11, true)], "the reset itself, which stands for that receipt too");
        hub.publish(12, [receipt(2)]);
        assert_eq!(told(&mut follower).unwrap(), [(12, true)]);
    }

    #[test]
    fn a_slow_follower_is_dropped_rather_than_told_half() {
        let hub = Hub::new(0);
        let mut slow = hub.follow(None);
        let mut just = hub.follow(None);
        for sequence in 1..=KEPT as u64 {
            hub.publish(sequence, [receipt(sequence)]);
        }
        assert_eq!(told(&mut just).unwrap().len(), KEPT);
        hub.publish(KEPT as u64 + 1, [receipt(0)]);
        assert_eq!(told(&mut slow), None);
        assert_eq!(told(&mut just).unwrap().len(), 1);
        assert_eq!(told(&mut hub.follow(Some(1))).unwrap().len(), KEPT);
        assert_eq!(hub.follow(Some(0)).ready(), hub.follow(Some(u64::MAX)).ready());
    }
}
