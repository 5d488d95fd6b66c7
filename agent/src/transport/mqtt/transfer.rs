//! One bundle on its way, chunk by chunk.

use std::time::{Duration, Instant};

use casemate_protocol::broker::{Chunked, Topic};
use casemate_protocol::digest::Digest;

use super::offers::Offer;

/// Chunks under way at a time: what a broker holds ready for us stays below what it gives every client.
const WINDOW: usize = 8;
/// Times a chunk may be wrong before its bundle rests.
const TRIES: u32 = 3;
/// Without any chunk for so long the rest is not there: it expired, or was cleared.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before a wrong chunk is asked for again, doubled each time.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be asked for, not before this.
    Missing(Instant),
    /// Subscribed.
    Asked,
    /// Verified and in the spool.
    Here,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Verified: it belongs at this offset.
    Good(u64),
    /// It is here already.
    Again,
    /// Not what was announced.
    Wrong,
    /// Wrong too often.
    Hopeless,
}

/// One bundle on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    offer: Offer,
    chunks: Vec<(State, u32)>,
    /// Subscribed topics of chunks that are here.
    finished: Vec<usize>,
    progress: Instant,
}

impl Transfer {
    /// What is missing of `offer`, given which of its chunks are `here`.
    pub(super) fn new(offer: Offer, here: &[bool], now: Instant) -> Self {
        let state = |index| if here.get(index) == Some(&true) { State::Here } else { State::Missing(now) };
        let chunks = (0..offer.bundle.chunks.len()).map(|index| (state(index), 0)).collect();
        Self { offer, chunks, finished: Vec::new(), progress: now }
    }

    /// What is fetched.
    pub(super) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Everything is here.
    pub(super) fn is_whole(&self) -> bool {
        self.chunks.iter().all(|(state, _)| *state == State::Here)
    }

    /// How many chunks are here.
    pub(super) fn held(&self) -> usize {
        self.chunks.iter().filter(|(state, _)| *state == State::Here).count()
    }

    /// A new connection: nothing is subscribed, what is here stays here.
    pub(super) fn reconnected(&mut self, now: Instant) {
        for (state, _) in &mut self.chunks {
            if *state == State::Asked {
                *state = State::Missing(now);
            }
        }
        self.finished.clear();
        self.progress = now;
    }

    /// The index in `topic` if it is of this bundle.
    pub(super) fn index(&self, topic: &str) -> Option<usize> {
        let prefix = format!("{}/bundles/{}/", self.offer.scope, self.offer.bundle.bundle);
        let index = topic.strip_prefix(&prefix)?.parse().ok()?;
        (index < self.chunks.len() && self.topic(index) == topic).then_some(index)
    }

    /// The chunk's topic.
    pub(super) fn topic(&self, index: usize) -> String {
        Topic::Chunk(&self.offer.scope, self.offer.bundle.bundle, index).to_string()
    }

    /// Which topics are to be subscribed now, and which no longer.
    pub(super) fn turn(&mut self, now: Instant) -> (Vec<String>, Vec<String>) {
        let under_way = self.chunks.iter().filter(|(state, _)| *state == State::Asked).count();
        let due = |state: &State| matches!(state, State::Missing(at) if *at <= now);
        let mut ask = Vec::new();
        // Several at once: a packet each would double the traffic.
        if under_way <= WINDOW / 2 {
            let missing = self.chunks.iter_mut().enumerate().filter(|(_, (state, _))| due(state));
            for (index, (state, _)) in missing.take(WINDOW - under_way) {
                *state = State::Asked;
                ask.push(index);
            }
            // A wrong one's topic is subscribed once more, which brings it again.
            self.finished.retain(|index| !ask.contains(index));
        }
        let left = if self.finished.len() >= WINDOW / 2 || self.is_whole() {
            std::mem::take(&mut self.finished)
        } else {
            Vec::new()
        };
        if under_way == 0 && !ask.is_empty() {
            self.progress = now;
        }
        let topics = |list: Vec<usize>| list.into_iter().map(|index| self.topic(index)).collect();
        (topics(ask), topics(left))
    }

    /// Topics still subscribed, to be left when the bundle is no longer fetched.
    pub(super) fn leave(&mut self) -> Vec<String> {
        let asked = self.chunks.iter().enumerate().filter(|(_, (state, _))| *state == State::Asked);
        let all: Vec<_> = asked.map(|(index, _)| index).chain(std::mem::take(&mut self.finished)).collect();
        all.into_iter().map(|index| self.topic(index)).collect()
    }

    /// A chunk has come.
    pub(super) fn received(&mut self, index: usize, payload: &[u8], now: Instant) -> Verdict {
        let Some((offset, length)) = self.offer.bundle.extent(index) else { return Verdict::Wrong };
        let Some((state, wrong)) = self.chunks.get_mut(index) else { return Verdict::Wrong };
        if *state == State::Here {
            return Verdict::Again;
        }
        let expected = self.offer.bundle.chunks[index];
        if payload.len() == length as usize && Digest::of(payload) == expected {
            *state = State::Here;
            self.finished.push(index);
            self.progress = now;
            return Verdict::Good(offset);
        }
        *wrong += 1;
        *state = State::Missing(now + PAUSE * 2_u32.saturating_pow(*wrong - 1));
        self.finished.push(index);
        if *wrong > TRIES { Verdict::Hopeless } else { Verdict::Wrong }
    }

    /// The spool could not take it after all.
    pub(super) fn lost(&mut self, index: usize, now: Instant) {
        if let Some((state, _)) = self.chunks.get_mut(index) {
            *state = State::Missing(now);
        }
    }

    /// Nothing has come for too long.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.under_way() && now.saturating_duration_since(self.progress) >= PATIENCE
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let paused = self.chunks.iter().filter_map(|(state, _)| match state {
            State::Missing(at) => Some(*at),
            _ => None,
        });
        // Those in the window's way are asked for when a chunk comes, not when a time comes.
        let stalled = self.under_way().then(|| self.progress + PATIENCE);
        let paused = if self.chunks.iter().filter(|(state, _)| *state == State::Asked).count() <= WINDOW / 2 {
            paused.min()
        } else {
            None
        };
        [paused, stalled].into_iter().flatten().min()
    }

    fn under_way(&self) -> bool {
        self.chunks.iter().any(|(state, _)| *state == State::Asked)
    }

    /// What is announced.
    pub(super) fn bundle(&self) -> &Chunked {
        &self.offer.bundle
    }
}

#[cfg(test)]
mod tests {
    use casemate_protocol::broker::{CHUNK_LENGTH, Scope};
    use casemate_protocol::tuf::role::Version;

    use super::*;

    fn content(index: usize) -> Vec<u8> {
        vec![u8::try_from(index).unwrap(); CHUNK_LENGTH as usize]
    }

    fn transfer(count: usize, here: &[bool], now: Instant) -> Transfer {
        let chunks = (0..count).map(|index| Digest::of(&content(index))).collect();
        let length = count as u64 * u64::from(CHUNK_LENGTH);
        let bundle = Chunked::of(Digest::of(b"bundle"), length, Version::FIRST, chunks).unwrap();
        Transfer::new(Offer { scope: Scope::Group("a".parse().unwrap()), bundle }, here, now)
    }

    /// The broker answers every subscription, in `order` within a window.
    fn fetch(transfer: &mut Transfer, now: Instant, order: impl Fn(&mut Vec<String>)) -> usize {
        let mut fetched = 0;
        while !transfer.is_whole() {
            let (mut ask, _) = transfer.turn(now);
            assert!(!ask.is_empty() && ask.len() <= WINDOW);
            order(&mut ask);
            for topic in ask {
                let index = transfer.index(&topic).unwrap();
                let verdict = transfer.received(index, &content(index), now);
                assert_eq!(verdict, Verdict::Good(index as u64 * u64::from(CHUNK_LENGTH)));
                fetched += 1;
            }
        }
        fetched
    }

    #[test]
    fn every_chunk_is_asked_for_once_in_windows_in_whatever_order_they_come() {
        let now = Instant::now();
        assert_eq!(fetch(&mut transfer(30, &[], now), now, |_| {}), 30);
        assert_eq!(fetch(&mut transfer(30, &[], now), now, |ask| ask.reverse()), 30);
    }

    #[test]
    fn what_is_here_is_not_fetched_again_after_a_new_connection() {
        let now = Instant::now();
        let mut transfer = transfer(9, &[true, false, true], now);
        let (ask, _) = transfer.turn(now);
        assert_eq!(ask.len(), 7);
        transfer.received(1, &content(1), now);
        transfer.received(3, &content(3), now);
        transfer.reconnected(now);
        assert_eq!(transfer.held(), 4);
        assert_eq!(fetch(&mut transfer, now, |_| {}), 5);
    }

    #[test]
    fn a_duplicate_changes_nothing_and_a_wrong_chunk_is_asked_for_again_after_a_pause() {
        let mut now = Instant::now();
        let mut transfer = transfer(2, &[], now);
        transfer.turn(now);
        transfer.received(0, &content(0), now);
        assert_eq!(transfer.received(0, &content(1), now), Verdict::Again);
        for _ in 0..TRIES {
            assert_eq!(transfer.received(1, &content(0), now), Verdict::Wrong);
            assert!(transfer.turn(now).0.is_empty(), "no busy loop");
            now = transfer.deadline().unwrap();
            assert_eq!(transfer.turn(now).0, [transfer.topic(1)]);
        }
        assert_eq!(transfer.received(1, &content(1)[1..], now), Verdict::Hopeless);
    }

    #[test]
    fn chunks_that_are_not_there_are_waited_for_only_so_long() {
        let now = Instant::now();
        let mut transfer = transfer(2, &[], now);
        transfer.turn(now);
        transfer.received(0, &content(0), now + PATIENCE / 2);
        assert!(!transfer.is_stalled(now + PATIENCE));
        let deadline = transfer.deadline().unwrap();
        assert!(transfer.is_stalled(deadline));
        assert_eq!(transfer.leave().len(), 2);
    }

    #[test]
    fn topics_of_other_bundles_and_other_spellings_are_not_ours() {
        let transfer = transfer(2, &[], Instant::now());
        let topic = transfer.topic(1);
        assert_eq!(transfer.index(&topic), Some(1));
        for other in [format!("{topic}1"), topic.replace("/1", "/01"), topic.replace("/1", "/+1"), format!("{topic}/")]
        {
            assert_eq!(transfer.index(&other), None, "{other}");
        }
    }
}
