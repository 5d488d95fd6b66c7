//! The loop: follow, read the tree, act, report.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{Name, Owner};

use super::act::{ActError, Done, Hands};
use super::allow_list::{AllowList, Rule};
use super::api::{Api, ApiError};
use super::memory::Memory;
use super::task::{Task, tasks};
use super::unit::Systemctl;
use crate::exit::Failure;
use crate::local_api::answer::{ConsumerReport, Outcome, OwnerState, TreeReport};

/// First pause before the agent is tried again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause: a restarted agent in probation waits for nobody longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The agent's consumer socket.
    pub socket: PathBuf,
    /// The folder of the allow-list.
    pub consumers: PathBuf,
    /// What each unit runs with is kept here.
    pub memory: PathBuf,
    /// `systemctl`, unless a test stands in for it.
    pub systemctl: PathBuf,
}

/// The helper at work.
#[derive(Debug)]
pub struct Follower {
    api: Api,
    consumers: PathBuf,
    hands: Hands,
    /// What was tried last for each owner's consumer, so that nothing is tried twice under the same conditions.
    tried: BTreeMap<(Owner, Name), Tried>,
    /// What was reported over this connection.
    reported: BTreeSet<(Owner, Name, u64)>,
    faults: Vec<String>,
}

/// One attempt.
#[derive(Debug)]
struct Tried {
    task: Task,
    rule: Option<Rule>,
    reason: Option<&'static str>,
}

impl Follower {
    /// One that has not connected yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let hands = Hands {
            memory: Memory::open(&options.memory),
            systemctl: Systemctl(options.systemctl),
            // Nobody: told anew with every connection.
            server: u32::MAX,
        };
        Self {
            api: Api::new(&options.socket),
            consumers: options.consumers,
            hands,
            tried: BTreeMap::new(),
            reported: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// Works until the future is dropped; children that run then are killed.
    pub async fn run(mut self) -> Infallible {
        let mut pause = FIRST_PAUSE;
        let mut told = None;
        loop {
            let Err(error) = self.session(&mut pause).await;
            let text =
                Failure::of(&error).causes.into_iter().fold(error.to_string(), |text, cause| text + ": " + &cause);
            if told.as_ref() != Some(&text) {
                tracing::warn!(code = %error.code(), error = text, "the agent is tried again until it answers");
                told = Some(text);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection. It follows before it reads the tree: whatever happens in between is an event.
    async fn session(&mut self, pause: &mut Duration) -> Result<Infallible, ApiError> {
        let mut events = self.api.events().await?;
        self.hands.server = events.server;
        // The agent may have started anew and forgotten what it was told.
        self.reported.clear();
        loop {
            self.pass().await?;
            *pause = FIRST_PAUSE;
            while !matches!(events.next().await?.as_str(), "generation" | "reset") {}
        }
    }

    /// Makes everything true that the tree asks, as far as the image allows.
    ///
    /// # Errors
    /// The agent does not answer. Whatever else fails is reported to it.
    pub async fn pass(&mut self) -> Result<(), ApiError> {
        let tree = self.api.tree().await?;
        let list = self.allow_list();
        let tasks = tasks(&tree);
        self.tried.retain(|(owner, name), _| tasks.iter().any(|task| task.owner == *owner && task.consumer == *name));
        self.clear(&tree, &tasks, &list).await?;
        for task in &tasks {
            let rule = list.rules.get(&task.consumer);
            let others = tasks.iter().filter(|other| {
                other.consumer == task.consumer && other.owner != task.owner && other.permit(rule).is_ok()
            });
            let reason = self.attempt(task, rule, &others.collect::<Vec<_>>()).await;
            self.report(task, reason).await?;
        }
        Ok(())
    }

    /// Takes away what no current generation asks any more. An owner whose `current` is just being moved is in no tree
    /// and has not left: that is asked of the status.
    async fn clear(&mut self, tree: &TreeReport, tasks: &[Task], list: &AllowList) -> Result<(), ApiError> {
        let mut moving = None;
        for (consumer, rule) in &list.rules {
            let asks = |owner: &Owner| {
                let its = |task: &&Task| task.consumer == *consumer && task.owner == *owner;
                tasks.iter().find(its).is_some_and(|task| task.permit(Some(rule)).is_ok())
            };
            let mut gone: BTreeSet<_> =
                self.hands.holders(consumer, rule).into_iter().filter(|one| !asks(one)).collect();
            if gone.iter().any(|owner| tree.owners.iter().all(|known| known.id != *owner)) {
                if moving.is_none() {
                    moving = Some(self.moving().await?);
                }
                gone.retain(|owner| moving.as_ref().is_none_or(|moving| !moving.contains(owner)));
            }
            self.hands.clear(consumer, rule, &gone).await;
        }
        Ok(())
    }

    /// Owners whose `current` is being moved.
    async fn moving(&self) -> Result<BTreeSet<Owner>, ApiError> {
        let is_moving = |state| matches!(state, OwnerState::Switching | OwnerState::Restoring);
        let owners = self.api.status().await?.owners.into_iter();
        Ok(owners.filter(|owner| is_moving(owner.state)).map(|owner| owner.id).collect())
    }

    fn allow_list(&mut self) -> AllowList {
        let list = AllowList::read(&self.consumers);
        let faults: Vec<_> = list.faults.iter().map(ToString::to_string).collect();
        if faults != self.faults {
            for fault in &list.faults {
                let (code, error, remedy) = (fault.code(), Failure::of(fault).told(), fault.remedy());
                tracing::error!(%code, error, remedy, "part of the allow-list is refused");
            }
            self.faults = faults;
        }
        list
    }

    /// Acts, unless the very same was tried before; the reason why it failed.
    async fn attempt(&mut self, task: &Task, rule: Option<&Rule>, others: &[&Task]) -> Option<&'static str> {
        let key = (task.owner.clone(), task.consumer.clone());
        if let Some(before) = self.tried.get(&key)
            && before.task.is_same(task)
            && before.rule.as_ref() == rule
        {
            return before.reason;
        }
        let result = self.hands.act(task, rule, others).await;
        let reason = result.as_ref().err().map(ActError::reason);
        tell(task, &result);
        self.tried.insert(key, Tried { task: task.clone(), rule: rule.cloned(), reason });
        reason
    }

    async fn report(&mut self, task: &Task, reason: Option<&'static str>) -> Result<(), ApiError> {
        let key = (task.owner.clone(), task.consumer.clone(), task.generation);
        if !task.awaited || self.reported.contains(&key) {
            return Ok(());
        }
        let report = ConsumerReport {
            owner: task.owner.clone(),
            generation: task.generation,
            outcome: if reason.is_some() { Outcome::Failed } else { Outcome::Ready },
            reason: reason.and_then(|reason| reason.parse().ok()),
        };
        match self.api.report(&task.consumer, &report).await {
            // Decided meanwhile, or nobody asked for confirmation.
            Err(ApiError::Refused(failure)) if failure.code == Code::NotAwaited => {}
            Err(ApiError::Refused(failure)) => {
                tracing::error!(code = %failure.code, error = failure.message, "the agent refuses the report");
            }
            other => other?,
        }
        self.reported.insert(key);
        Ok(())
    }
}

fn tell(task: &Task, result: &Result<Done, ActError>) {
    let Task { owner, consumer, generation, unit, .. } = task;
    match result {
        Ok(Done::Unchanged) => tracing::info!(%owner, generation, %consumer, unit, "nothing changed for the unit"),
        Ok(Done::TakenUp) => tracing::info!(%owner, generation, %consumer, unit, "the unit took it up"),
        Err(error) => {
            let (reason, remedy, error) = (error.reason(), error.remedy(), Failure::of(error).told());
            tracing::error!(%owner, generation, %consumer, unit, reason, error, remedy, "the unit did not take it up");
        }
    }
}

#[cfg(test)]
mod tests;
