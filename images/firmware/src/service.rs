//! The loop: follow the agent, bring the slots to what it asks, report.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use casemate_protocol::device::id::{Name, Owner};
use thiserror::Error;

use crate::agent::{Agent, AgentError, Outcome, Report};
use crate::artifact::{Artifact, ArtifactError};
use crate::ledger::{Attempt, Ledger, LedgerError};
use crate::reason::Reason;
use crate::settle::{Step, step};
use crate::slot::{Progress, SlotError, SlotWriter};
use crate::telemetry::whole;
use crate::wish::{Assigned, Assigners, Firmware, Wish};

/// First wait before the agent is asked again; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait before the agent is asked again, and before a failure that may pass is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why an artifact is not in place.
#[derive(Debug, Error)]
enum SettleError {
    #[error("the artifact cannot be taken")]
    Artifact(#[from] ArtifactError),
    #[error("the slots cannot be brought to it")]
    Slot(#[from] SlotError),
    #[error("what the slots hold cannot be written down")]
    Ledger(#[from] LedgerError),
    #[error("refused before anything was written")]
    Refused(Reason),
}

impl SettleError {
    fn reason(&self) -> Reason {
        match self {
            Self::Artifact(error) => error.reason(),
            Self::Slot(error) => error.reason(),
            Self::Ledger(_) => Reason::LedgerUnavailable,
            Self::Refused(reason) => *reason,
        }
    }
}

/// The service.
#[derive(Debug)]
pub struct Service<W> {
    /// The agent it follows.
    pub agent: Agent,
    /// The name under which manifests declare it.
    pub consumer: Name,
    /// Who may assign firmware.
    pub assigners: Assigners,
    /// Who writes slots.
    pub writer: W,
    /// What is known of the slots.
    pub ledger: Ledger,
    /// Where artifacts are copied to.
    pub folder: PathBuf,
    /// The kernel's boot id.
    pub boot: String,
}

/// What one process remembers while it follows.
#[derive(Debug, Default)]
struct Memory {
    last_event: Option<String>,
    reported: Vec<Report>,
    /// What failed for good: not tried again until something else is asked, or the service starts anew.
    hopeless: Option<(Firmware, Reason)>,
}

impl<W: SlotWriter> Service<W> {
    /// Follows the agent for as long as the future is polled.
    pub async fn run(mut self) {
        let (mut memory, mut wait) = (Memory::default(), FIRST_WAIT);
        loop {
            let mut reached = false;
            let Err(error) = self.follow(&mut memory, &mut reached).await;
            if reached {
                wait = FIRST_WAIT;
            }
            tracing::warn!(error = whole(&error), "the agent is not followed; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Follows one stream of events to its end. The tree is read after the stream is open, so nothing falls between.
    async fn follow(
        &mut self,
        memory: &mut Memory,
        reached: &mut bool,
    ) -> Result<std::convert::Infallible, AgentError> {
        let mut events = self.agent.events(memory.last_event.as_deref()).await?;
        *reached = true;
        tracing::info!("following the agent");
        // The agent may be another one, or have forgotten.
        memory.reported.clear();
        loop {
            let again = self.reconcile(memory).await?;
            loop {
                let event = if again {
                    match tokio::time::timeout(LONGEST_WAIT, events.next()).await {
                        Ok(event) => event?,
                        Err(_) => break,
                    }
                } else {
                    events.next().await?
                };
                memory.last_event = event.id.or(memory.last_event.take());
                if matches!(event.name.as_str(), "generation" | "reset") {
                    break;
                }
            }
        }
    }

    /// Brings the slots to what the tree asks and reports. Whether to try again although nothing changes.
    async fn reconcile(&mut self, memory: &mut Memory) -> Result<bool, AgentError> {
        let mut wish = self.wish(memory).await?;
        loop {
            let failed = self.outcome(&wish.firmware, memory).await;
            // Installing takes minutes: what is asked may be something else by now.
            let now = self.wish(memory).await?;
            if now.firmware == wish.firmware {
                if now.firmware != Firmware::Undecided {
                    for (owner, generation) in now.awaited {
                        self.report(owner, generation, failed, memory).await?;
                    }
                }
                return Ok(failed.is_some_and(Reason::may_pass));
            }
            wish = now;
        }
    }

    /// What the tree asks now. Whoever may ask for nothing is told so at once, whatever the others wait for.
    async fn wish(&self, memory: &mut Memory) -> Result<Wish, AgentError> {
        let wish = Wish::of(&self.agent.tree().await?, &self.consumer, &self.assigners);
        for (owner, generation) in wish.refused.clone() {
            self.report(owner, generation, Some(Reason::OwnerNotAllowed), memory).await?;
        }
        Ok(wish)
    }

    async fn outcome(&mut self, firmware: &Firmware, memory: &mut Memory) -> Option<Reason> {
        let assigned = match firmware {
            Firmware::Undecided => return None,
            Firmware::Unclear(reason) => return Some(*reason),
            Firmware::AsItIs => None,
            Firmware::Assigned(assigned) => Some(assigned),
        };
        if let Some((tried, reason)) = &memory.hopeless
            && tried == firmware
        {
            return Some(*reason);
        }
        memory.hopeless = None;
        let settled = self.settle(assigned).await;
        let failed = settled.as_ref().err().map(SettleError::reason);
        if let Err(error) = &settled {
            tracing::error!(reason = %error.reason(), error = whole(error), "the firmware is not in place");
            memory.hopeless = failed.filter(|reason| !reason.may_pass()).map(|reason| (firmware.clone(), reason));
        }
        if let Some(assigned) = assigned {
            let attempt = Attempt { object: assigned.file.object, failed };
            if let Err(error) = self.ledger.change(|entries| entries.last = Some(attempt)) {
                tracing::error!(error = whole(&error), "the attempt was not written down");
            }
        }
        failed
    }

    async fn settle(&mut self, assigned: Option<&Assigned>) -> Result<(), SettleError> {
        let slots = self.writer.look().await?;
        self.ledger.change(|entries| entries.booted(&slots, &self.boot))?;
        match step(assigned.map(|assigned| &assigned.file.object), &slots, &self.ledger.entries) {
            Step::Done => Ok(()),
            Step::Refuse(reason) => Err(SettleError::Refused(reason)),
            Step::BootNext(slot) => {
                self.writer.boot_next(&slot).await?;
                tracing::info!(%slot, "marked to boot next; nothing had to be written");
                Ok(self.ledger.change(|entries| entries.marked(&slot, &slots, &self.boot))?)
            }
            Step::Install => {
                let Some(assigned) = assigned else { return Ok(()) };
                let artifact = Artifact::take(assigned, &self.agent, &self.folder).await?;
                // From here on the other slot holds nobody knows what.
                self.ledger.change(|entries| entries.forget_but(&slots.booted))?;
                self.install(assigned, &artifact).await
            }
        }
    }

    async fn install(&mut self, assigned: &Assigned, artifact: &Artifact) -> Result<(), SettleError> {
        let object = assigned.file.object;
        tracing::info!(owner = %assigned.owner, path = %assigned.file.path, digest = %object, "installing");
        let slot = self.writer.install(artifact.path(), &told()).await?;
        let slots = self.writer.look().await?;
        let seal = slots.seals.get(&slot).cloned().unwrap_or_default();
        self.ledger.change(|entries| {
            entries.slots.insert(slot.clone(), crate::ledger::Filling { object, seal, fell_back: false });
            entries.marked(&slot, &slots, &self.boot);
        })?;
        tracing::info!(%slot, digest = %object, "installed and marked to boot next");
        Ok(())
    }

    async fn report(
        &self,
        owner: Owner,
        generation: u64,
        reason: Option<Reason>,
        memory: &mut Memory,
    ) -> Result<(), AgentError> {
        let outcome = if reason.is_some() { Outcome::Failed } else { Outcome::Ready };
        let report = Report { owner, generation, outcome, reason };
        if memory.reported.contains(&report) {
            return Ok(());
        }
        match self.agent.report(&self.consumer, &report).await {
            Ok(()) => tracing::info!(owner = %report.owner, generation, ?outcome, "reported"),
            // Its time was up, or a newer generation took its place: an event says so.
            Err(error) if error.is("not-awaited") => tracing::info!(owner = %report.owner, generation, "not awaited"),
            Err(error) => return Err(error),
        }
        memory.reported.push(report);
        Ok(())
    }
}

/// Logs every tenth percent.
fn told() -> Progress {
    let tenths = AtomicU8::new(0);
    Arc::new(move |percent| {
        if tenths.swap(percent / 10, Ordering::Relaxed) != percent / 10 {
            tracing::info!(percent, "installing");
        }
    })
}
