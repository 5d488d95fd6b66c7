//! When to try again.

use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

/// Doubling pauses from a shortest to a longest, each made up to a quarter shorter or longer by chance: a thousand
/// appliances must not come back in the same second.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pace {
    /// No failure so far.
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed once more: not before this.
    pub(super) fn again(&mut self, now: Instant) -> Instant {
        let doubled = self.first.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        now + jittered(doubled.min(self.longest))
    }
}

/// `pause`, 75 to 125 %.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [128];
    // Without chance it is the pause itself.
    let _ = SystemRandom::new().fill(&mut byte);
    pause * 3 / 4 + pause * u32::from(byte[0]) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_anew_after_success() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(2), Duration::from_secs(300));
        for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            let pause = pace.again(now) - now;
            let range = Duration::from_secs(seconds) * 3 / 4..=Duration::from_secs(seconds) * 5 / 4;
            assert!(range.contains(&pause), "{seconds}: {pause:?}");
        }
        pace.reset();
        assert!(pace.again(now) - now <= Duration::from_millis(2500));
    }

    #[test]
    fn appliances_do_not_come_back_in_step() {
        let now = Instant::now();
        let first = || Pace::new(Duration::from_secs(300), Duration::from_secs(300)).again(now);
        let moments: std::collections::BTreeSet<_> = (0..64).map(|_| first()).collect();
        assert!(moments.len() > 8, "{}", moments.len());
    }
}
