//! Waiting for what is not of this process: the clock, and probes.
//!
//! Nothing is waited for where nothing is under way: an idle appliance sets no timer here.

use std::collections::BTreeMap;
use std::time::Duration;

use casemate_engine::health::Gate;
use casemate_engine::update::Event;
use casemate_protocol::device::id::Owner;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::duties::{Duties, LOOK_AGAIN_SECONDS, Trial};
use super::error::RuntimeError;
use super::keeper::Keeper;
use super::reach::Reach;
use super::store_thread::{Desk, StoreThread};
use crate::clock::WallClock;
use crate::health::probe::Prober;

/// How often probes are asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Somebody who wants everything looked at now, and to be told when that is done.
pub(super) type Nudge = oneshot::Sender<()>;

/// The watch over what waits.
pub(super) struct Vigil {
    desk: Desk,
    clock: WallClock,
    prober: Prober,
    duties: watch::Receiver<Duties>,
    gates: BTreeMap<(Owner, u64), Gate>,
    reach: Reach,
}

impl Vigil {
    pub(super) fn new(store: &StoreThread, clock: WallClock, prober: Prober) -> Self {
        let (desk, mut duties) = (store.desk(), store.duties());
        // What was on trial when the agent ended goes on at once: nothing has to change first.
        duties.mark_changed();
        let reach = Reach::new(store.door(), desk.clone(), store.ties().credentials);
        Self { desk, clock, prober, duties, gates: BTreeMap::new(), reach }
    }

    /// Keeps watch until the store thread is gone.
    pub(super) async fn keep(mut self, mut nudges: mpsc::Receiver<Nudge>) {
        let mut asked = Instant::now();
        loop {
            let mut nudge = None;
            let next = self.next(asked).into_iter().chain(self.reach.next()).min();
            tokio::select! {
                changed = self.duties.changed() => if changed.is_err() { return },
                () = until(next) => {}
                told = self.reach.answered() => if told.is_err() { return } else { continue },
                Some(somebody) = nudges.recv() => nudge = Some(somebody),
            }
            asked = Instant::now();
            if self.round(nudge.is_some()).await.is_err() {
                return;
            }
            if let Some(nudge) = nudge {
                let _told = nudge.send(());
            }
        }
    }

    /// When to look next by itself.
    fn next(&self, asked: Instant) -> Option<Instant> {
        let duties = self.duties.borrow();
        let probes = (!duties.trials.is_empty()).then_some(asked + ASK_EVERY);
        // Timers of the event loop stand still while the machine sleeps, deadlines do not: look again from time to time.
        let due = duties.due_at.map(|due| {
            let left = due.saturating_sub(self.clock.moment().uptime_seconds).min(LOOK_AGAIN_SECONDS);
            Instant::now() + Duration::from_secs(left)
        });
        probes.into_iter().chain(due).min()
    }

    /// Looks at the clock, if something is due by it or `look` says so, and asks the probes once.
    async fn round(&mut self, look: bool) -> Result<(), RuntimeError> {
        let due_at = self.duties.borrow_and_update().due_at;
        if look || due_at.is_some_and(|due| self.clock.moment().uptime_seconds >= due) {
            // What fails is logged and remembered by the keeper itself.
            let _done = self.desk.ask(Keeper::tick).await?;
        }
        let Duties { trials, reach, .. } = self.duties.borrow_and_update().clone();
        self.reach.go(reach, look).await?;
        self.ask(&trials).await;
        for Trial { owner, number, .. } in trials {
            let gate = self.gates.get(&(owner.clone(), number));
            if !gate.is_some_and(Gate::is_open) {
                continue;
            }
            let outcome = self.desk.ask(move |keeper| keeper.event(&owner, Event::Held { number })).await?;
            if let Err(failure) = outcome {
                tracing::error!(code = %failure.code, "a generation cannot be committed now");
            }
        }
        Ok(())
    }

    /// Asks every probe of `trials`, all at once. What was known of other generations is forgotten.
    async fn ask(&mut self, trials: &[Trial]) {
        let mut asking = JoinSet::new();
        let mut gates = BTreeMap::new();
        for Trial { owner, number, hold_seconds, probes } in trials {
            let place = (owner.clone(), *number);
            let gate = self.gates.remove(&place).unwrap_or_else(|| Gate::new(probes.len(), *hold_seconds));
            gates.insert(place.clone(), gate);
            for (index, probe) in probes.iter().cloned().enumerate() {
                let (prober, place) = (self.prober.clone(), place.clone());
                asking.spawn(async move { (place, index, prober.holds(&probe).await) });
            }
        }
        while let Some(answer) = asking.join_next().await {
            if let Ok((place, index, holds)) = answer
                && let Some(gate) = gates.get_mut(&place)
            {
                gate.observe(index, holds, self.clock.moment().uptime_seconds);
            }
        }
        self.gates = gates;
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}
