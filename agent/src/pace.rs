//! How often somebody may do something: so many at once, and then one every so often.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Keys that are remembered at once. Whoever is quiet for a while is forgotten, and begins anew.
const MOST: usize = 1024;

/// The pace of many, each by its own key (generic cell rate algorithm, ITU-T I.371 §A).
#[derive(Debug)]
pub(crate) struct Pace<K> {
    every: Duration,
    burst: Duration,
    /// When a key has made up for what it did.
    even: HashMap<K, Instant>,
}

impl<K: Eq + Hash> Pace<K> {
    /// One every `every` in the long run, and `burst` at once.
    pub(crate) fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst: every * burst, even: HashMap::new() }
    }

    /// Notes that `key` does it at `now`, unless that is too soon.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(crate) fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        if self.even.len() >= MOST {
            self.even.retain(|_, even| *even > now);
        }
        let full = self.even.len() >= MOST;
        let even = match self.even.get(&key) {
            Some(even) => (*even).max(now),
            // More are busy than are remembered: whoever is new waits until one of them is forgotten.
            None if full => return Err(self.every),
            None => now,
        };
        let next = even + self.every;
        match next.duration_since(now).checked_sub(self.burst) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                self.even.insert(key, next);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_at_a_time() {
        let mut pace = Pace::new(Duration::from_secs(1), 3);
        let begun = Instant::now();
        let taken = (0..10).filter(|_| pace.take("a", begun).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(pace.take("a", begun), Err(Duration::from_secs(1)));
        assert_eq!(pace.take("b", begun), Ok(()), "others are not held up");
        let later = begun + Duration::from_secs(1);
        assert_eq!((pace.take("a", later).is_ok(), pace.take("a", later).is_ok()), (true, false));
    }

    #[test]
    fn no_more_keys_are_remembered_than_stated_and_quiet_ones_make_room() {
        let mut pace = Pace::new(Duration::from_secs(1), 1);
        let begun = Instant::now();
        let taken = (0..MOST + 10).filter(|key| pace.take(*key, begun).is_ok()).count();
        assert_eq!((taken, pace.even.len()), (MOST, MOST));
        assert_eq!(pace.take(MOST + 10, begun + Duration::from_secs(2)), Ok(()));
        assert_eq!(pace.even.len(), 1);
    }
}
