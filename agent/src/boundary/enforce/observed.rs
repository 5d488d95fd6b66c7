//! How long a boundary may still be observed. Pure.
//!
//! `observe_until` is a time of the wall clock, and whoever answers NTP, or writes the hardware clock, may set that back.
//! So the end is not asked of the clock alone: it is remembered, and the machine's own running time is counted as well.

use casemate_engine::time::Moment;
use casemate_protocol::boundary::offer::Accepted;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::Version;
use casemate_protocol::tuf::time::{CLOCK_TOLERANCE_SECONDS, Clock, UtcTime};
use serde::{Deserialize, Serialize};

use super::ruleset::Observe;

/// What is remembered of a boundary that is observed, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    document: Digest,
    version: Version,
    /// Seconds that the machine may still run observing, wherever the wall clock stands. 0 = never again.
    left_seconds: u64,
    /// Up to when they are counted.
    counted: Moment,
}

impl Observed {
    /// What is to be remembered of `accepted` from now on; none if it was not signed to be observed. `known` is what
    /// was, of whichever boundary; `passed` whether the kernel saw the end of what is loaded.
    #[must_use]
    pub fn of(accepted: &Accepted, known: Option<&Self>, passed: bool, clock: Clock, moment: Moment) -> Option<Self> {
        let (until, document, version) = (accepted.policy.observe_until?, accepted.document?, accepted.version?);
        let known = known.filter(|known| known.is_of(accepted));
        let left = match known {
            Some(known) if known.is_over() => return Some(known.clone()),
            _ if clock.wall >= until => 0,
            Some(_) if passed => 0,
            Some(known) => {
                // What a run of the machine had left after it was last counted is not known: it is given.
                let since = known.counted.seconds_until(&moment).unwrap_or(moment.uptime_seconds);
                known.left_seconds.saturating_sub(since)
            }
            None => until.unix().saturating_sub(earliest(accepted, clock).max(clock.wall).unix()),
        };
        Some(Self { document, version, left_seconds: left, counted: moment })
    }

    /// What is remembered of `accepted` where the memory of it is lost: that it is over.
    #[must_use]
    pub fn over(accepted: &Accepted, moment: Moment) -> Option<Self> {
        let (document, version) = (accepted.document?, accepted.version?);
        accepted.policy.observe_until.map(|_| Self { document, version, left_seconds: 0, counted: moment })
    }

    /// Whether this is about the boundary in `accepted`.
    #[must_use]
    pub fn is_of(&self, accepted: &Accepted) -> bool {
        (Some(self.document), Some(self.version)) == (accepted.document, accepted.version)
    }

    /// Whether it is never observed again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left_seconds == 0
    }

    /// The span in which the kernel observes, where what is in force ends it at `until`; none if not now.
    #[must_use]
    pub fn span(&self, accepted: &Accepted, until: UtcTime, clock: Clock) -> Option<Observe> {
        let from = earliest(accepted, clock);
        (!self.is_over() && from <= clock.wall && clock.wall < until).then_some(Observe { from, until })
    }
}

/// No true clock stands earlier.
fn earliest(accepted: &Accepted, clock: Clock) -> UtcTime {
    let floor = accepted.signed_at.max(clock.build);
    UtcTime::from_unix(floor.unix().saturating_sub(CLOCK_TOLERANCE_SECONDS))
}

#[cfg(test)]
mod tests {
    use casemate_engine::time::BootId;
    use casemate_protocol::boundary::Policy;
    use casemate_protocol::tuf::floors::Floors;

    use super::*;

    const DAY: u64 = 86_400;
    /// Signed on day 100, observed until day 110.
    const SIGNED: u64 = 100;
    const UNTIL: u64 = 110;

    fn day(number: u64) -> UtcTime {
        UtcTime::EPOCH.plus_days(number)
    }

    fn version(number: u32) -> Version {
        serde_json::from_str(&number.to_string()).unwrap()
    }

    fn signed(number: u32) -> Accepted {
        Accepted {
            offer: Digest::of(b"an offer"),
            root_version: version(1),
            demo: false,
            timestamp: version(1),
            signed_at: day(SIGNED),
            floors: Floors::default(),
            name: Some("lan".parse().unwrap()),
            version: Some(version(number)),
            document: Some(Digest::of(b"a document")),
            policy: Policy { observe_until: Some(day(UNTIL)), ..Policy::default() },
        }
    }

    fn clock(wall: u64) -> Clock {
        Clock { wall: day(wall), build: day(90), offline_span_days: 400 }
    }

    fn running(boot: &str, days: u64) -> Moment {
        Moment { boot: BootId::of(boot), uptime_seconds: days * DAY }
    }

    /// Looks at the clock: whether is observed, and what is remembered.
    fn look(known: Option<&Observed>, passed: bool, wall: u64, moment: Moment) -> (bool, Observed) {
        let observed = Observed::of(&signed(1), known, passed, clock(wall), moment).unwrap();
        (observed.span(&signed(1), day(UNTIL), clock(wall)).is_some(), observed)
    }

    #[test]
    fn it_is_observed_from_signed_time_to_the_end() {
        for (wall, expected) in [(SIGNED - 2, false), (SIGNED, true), (UNTIL - 1, true), (UNTIL, false)] {
            assert_eq!(look(None, false, wall, running("a", 1)).0, expected, "day {wall}");
        }
        let unobserved = Accepted { policy: Policy::default(), ..signed(1) };
        assert_eq!(Observed::of(&unobserved, None, false, clock(SIGNED), running("a", 1)), None);
    }

    #[test]
    fn a_clock_set_back_does_not_open_again_what_was_over() {
        let (_, known) = look(None, false, 101, running("a", 1));
        let (_, known) = look(Some(&known), false, UNTIL, running("a", 2));
        assert!(known.is_over());
        assert_eq!(look(Some(&known), false, 101, running("a", 2)), (false, known.clone()));
        assert_eq!(look(Some(&known), false, 101, running("b", 0)), (false, known));
        // Without the memory it does.
        assert!(look(None, false, 101, running("b", 0)).0);
    }

    #[test]
    fn what_only_the_kernel_saw_is_over_too() {
        let (_, known) = look(None, false, 101, running("a", 1));
        assert!(look(Some(&known), false, 102, running("a", 2)).0);
        assert!(!look(Some(&known), true, 102, running("a", 2)).0);
        // It saw the end of another one.
        let newer = Observed::of(&signed(2), Some(&known), true, clock(102), running("a", 2)).unwrap();
        assert!(!newer.is_over());
    }

    #[test]
    fn a_clock_that_is_held_back_for_ever_does_not_make_it_longer() {
        let (observes, known) = look(None, false, 101, running("a", 5));
        assert!(observes);
        let (observes, known) = look(Some(&known), false, 101, running("a", 9));
        assert!(observes, "4 of 9 days are gone");
        let (observes, known) = look(Some(&known), false, 101, running("b", 3));
        assert!(observes, "and 3 in another run of the machine");
        let (observes, known) = look(Some(&known), false, 101, running("b", 5));
        assert!(!observes && known.is_over());
    }

    #[test]
    fn a_newer_boundary_is_observed_for_its_own_time() {
        let (_, over) = look(None, false, UNTIL, running("a", 1));
        assert!(!Observed::of(&signed(2), Some(&over), false, clock(105), running("a", 1)).unwrap().is_over());
        assert!(Observed::over(&signed(1), running("a", 1)).unwrap().is_over());
    }
}
