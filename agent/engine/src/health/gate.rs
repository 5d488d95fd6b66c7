//! Probes over time: they must all hold, without a break, for a stated time.

/// What is known about the probes of one generation. Kept in memory only: a process that starts anew starts to count
/// anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    hold_seconds: u64,
    /// For each probe the first and the newest good answer since its last bad one, uptime in seconds.
    held: Vec<Option<(u64, u64)>>,
}

impl Gate {
    /// A gate for `probes` probes that must hold for `hold_seconds`. None has been asked yet.
    #[must_use]
    pub fn new(probes: usize, hold_seconds: u64) -> Self {
        Self { hold_seconds, held: vec![None; probes] }
    }

    /// Probe number `probe` held, or did not, when asked at `uptime_seconds`.
    pub fn observe(&mut self, probe: usize, holds: bool, uptime_seconds: u64) {
        if let Some(held) = self.held.get_mut(probe) {
            *held = holds.then(|| (held.map_or(uptime_seconds, |(first, _)| first), uptime_seconds));
        }
    }

    /// Whether every probe has held for its time. Only answers count: time in which nobody asked proves nothing, so the
    /// newest answer has to come that long after the first.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let long = |(first, newest): (u64, u64)| newest.saturating_sub(first) >= self.hold_seconds;
        self.held.iter().all(|held| held.is_some_and(long))
    }

    /// The first probe that does not hold.
    #[must_use]
    pub fn broken(&self) -> Option<usize> {
        self.held.iter().position(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_when_every_probe_has_held_for_its_time() {
        let mut gate = Gate::new(2, 10);
        assert!(!gate.is_open(), "nobody was asked");
        gate.observe(0, true, 100);
        gate.observe(1, true, 103);
        gate.observe(0, true, 110);
        gate.observe(1, true, 112);
        assert!(!gate.is_open());
        gate.observe(1, true, 113);
        assert!(gate.is_open());
    }

    #[test]
    fn time_in_which_nobody_asked_proves_nothing() {
        let mut gate = Gate::new(2, 10);
        gate.observe(0, true, 100);
        gate.observe(1, true, 100);
        gate.observe(0, true, 500);
        assert_eq!((gate.is_open(), gate.broken()), (false, None), "probe 1 was asked once");
        gate.observe(1, false, 500);
        assert!(!gate.is_open());
    }

    #[test]
    fn a_break_starts_the_time_anew() {
        let mut gate = Gate::new(1, 10);
        gate.observe(0, true, 100);
        gate.observe(0, false, 109);
        assert_eq!((gate.is_open(), gate.broken()), (false, Some(0)));
        gate.observe(0, true, 120);
        gate.observe(0, true, 129);
        assert!(!gate.is_open());
        gate.observe(0, true, 130);
        assert!(gate.is_open());
    }

    #[test]
    fn a_time_of_nothing_needs_one_good_answer() {
        let mut gate = Gate::new(1, 0);
        assert!(!gate.is_open());
        gate.observe(0, true, 5);
        assert!(gate.is_open());
    }
}
