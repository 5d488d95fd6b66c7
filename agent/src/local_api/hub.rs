//! The last events, for whoever follows and for whoever comes back.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::event::{Event, EventKind};

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
