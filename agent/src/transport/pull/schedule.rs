//! When a repository is looked at again.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// After the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// After many.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What the last look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// It was answered: the next one is due after the time that is signed.
    Answered,
    /// It failed so many times in a row, at least once.
    Failed(u32),
}

/// When the next look is due. Chance is taken once a look, so that a changed setting moves it by what was changed alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    last: Last,
    chance: u8,
}

impl Schedule {
    /// After a look.
    pub(super) fn after(self, answered: bool) -> Self {
        let last = match self.last {
            _ if answered => Last::Answered,
            Last::Answered => Last::Failed(1),
            Last::Failed(times) => Last::Failed(times.saturating_add(1)),
        };
        Self { last, chance: chance() }
    }

    /// Before the first look.
    pub(super) fn new() -> Self {
        Self { last: Last::Answered, chance: chance() }
    }

    /// How long after the last look: what is signed, ten per cent more or less; after failures two seconds, doubling up to
    /// five minutes, half as much more or less; never later than what is signed.
    pub(super) fn pause(self, poll_seconds: u32) -> Duration {
        let poll = Duration::from_secs(poll_seconds.into());
        // -1 to 1.
        let chance = f64::from(self.chance) / 127.5 - 1.0;
        match self.last {
            Last::Answered => poll.mul_f64(1.0 + chance / 10.0),
            Last::Failed(times) => {
                let doubled = FIRST_PAUSE * 2_u32.pow(times.clamp(1, 10) - 1);
                doubled.min(LONGEST_PAUSE).mul_f64(1.0 + chance / 2.0).min(poll)
            }
        }
    }
}

/// So that many appliances do not come at once. Without chance, which never happens, they would.
fn chance() -> u8 {
    let mut byte = [128];
    let _ = SystemRandom::new().fill(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(schedule: Schedule, poll: u32) -> f64 {
        schedule.pause(poll).as_secs_f64()
    }

    #[test]
    fn a_look_is_due_after_the_signed_time_ten_per_cent_more_or_less() {
        let at = |chance| seconds(Schedule { last: Last::Answered, chance }, 3600).round();
        assert_eq!((at(0), at(255)), (3240.0, 3960.0));
        let chances: std::collections::BTreeSet<_> = (0..64).map(|_| Schedule::new().chance).collect();
        assert!(chances.len() > 1);
    }

    #[test]
    fn failures_double_the_pause_to_five_minutes_and_an_answer_forgets_them() {
        let mut schedule = Schedule::new();
        for base in [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0, 300.0, 300.0] {
            schedule = schedule.after(false);
            let pause = seconds(schedule, 604_800);
            assert!((base * 0.499..=base * 1.501).contains(&pause), "{pause} where {base} was expected");
        }
        assert!(seconds(schedule, 10) <= 10.0, "never later than what is signed");
        assert!(seconds(schedule.after(true), 3600) > 3000.0);
        assert!(seconds(schedule.after(true).after(false), 3600) <= 3.0);
    }
}
