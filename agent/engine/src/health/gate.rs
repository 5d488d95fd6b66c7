//! Probes over time: they must all hold, without a break, for a stated time.

/// What is known about the probes of one generation. Kept in memory only: a process that starts anew starts to count
/// anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    hold_seconds: u64,
    /// Uptime in seconds since which each probe has held; none while it does not.
    since: Vec<Option<u64>>,
}

impl Gate {
    /// A gate for `probes` probes that must hold for `hold_seconds`. None has been asked yet.
    #[must_use]
    pub fn new(probes: usize, hold_seconds: u64) -> Self {
        Self { hold_seconds, since: vec![None; probes] }
    }

    /// Probe number `probe` held, or did not, when asked at `uptime_seconds`.
    pub fn observe(&mut self, probe: usize, holds: bool, uptime_seconds: u64) {
        if let Some(since) = self.since.get_mut(probe) {
            *since = if holds { since.or(Some(uptime_seconds)) } else { None };
        }
    }

    /// Whether every probe has held for its time, as of the newest answers, at `uptime_seconds`.
    #[must_use]
    pub fn is_open(&self, uptime_seconds: u64) -> bool {
        let long = |since: &Option<u64>| since.is_some_and(|since| uptime_seconds >= since + self.hold_seconds);
        self.since.iter().all(long)
    }

    /// The first probe that does not hold.
    #[must_use]
    pub fn broken(&self) -> Option<usize> {
        self.since.iter().position(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_when_every_probe_has_held_for_its_time() {
        let mut gate = Gate::new(2, 10);
        assert!(!gate.is_open(100), "nobody was asked");
        gate.observe(0, true, 100);
        gate.observe(1, true, 103);
        gate.observe(0, true, 110);
        assert!(!gate.is_open(112));
        assert!(gate.is_open(113));
    }

    #[test]
    fn a_break_starts_the_time_anew() {
        let mut gate = Gate::new(1, 10);
        gate.observe(0, true, 100);
        gate.observe(0, false, 109);
        assert_eq!((gate.is_open(120), gate.broken()), (false, Some(0)));
        gate.observe(0, true, 120);
        assert!(!gate.is_open(129) && gate.is_open(130));
    }

    #[test]
    fn a_time_of_nothing_needs_one_good_answer() {
        let mut gate = Gate::new(1, 0);
        assert!(!gate.is_open(5));
        gate.observe(0, true, 5);
        assert!(gate.is_open(5));
    }
}
