//! Who was not let in, told once a minute: whoever knocks without end fills neither the log nor the journal.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Refusals within so long are told together.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// Refusals that were not told yet, by reason.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    counts: BTreeMap<&'static str, u64>,
    /// When it may be told of some again; anytime if absent.
    due: Option<Instant>,
}

impl Refusals {
    /// One more.
    pub(super) fn add(&mut self, reason: &'static str, now: Instant) {
        *self.counts.entry(reason).or_default() += 1;
        self.due.get_or_insert(now);
    }

    /// Until [`Self::take`] has something to say.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// What there is to tell: the first of a quiet time at once, and then once a minute how many.
    pub(super) fn take(&mut self, now: Instant) -> BTreeMap<&'static str, u64> {
        if self.due.is_some_and(|due| due > now) {
            return BTreeMap::new();
        }
        let counts = std::mem::take(&mut self.counts);
        self.due = (!counts.is_empty()).then(|| now + EVERY);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_all_others_of_a_minute_in_one_line() {
        let (mut refusals, begun) = (Refusals::default(), Instant::now());
        refusals.add("dates", begun);
        assert_eq!(refusals.take(begun), BTreeMap::from([("dates", 1)]));
        for second in 1..50 {
            refusals.add(["revoked", "dates"][second % 2], begun + Duration::from_secs(1));
            assert_eq!(refusals.take(begun + EVERY / 2), BTreeMap::new(), "{second}");
        }
        assert_eq!(refusals.take(begun + EVERY), BTreeMap::from([("dates", 25), ("revoked", 24)]));
        // A quiet minute: the next is told at once.
        assert_eq!(refusals.take(begun + 2 * EVERY), BTreeMap::new());
        refusals.add("name", begun + 3 * EVERY);
        assert_eq!(refusals.take(begun + 3 * EVERY), BTreeMap::from([("name", 1)]));
    }
}
