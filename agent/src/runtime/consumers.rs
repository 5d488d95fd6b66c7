//! What consumers say.

use casemate_engine::update::{Event, Report, State};
use casemate_protocol::device::id::Name;

use super::error::RuntimeError;
use super::keeper::Keeper;
use super::ledger::manifest;
use crate::exit::Failure;
use crate::local_api::answer::{ConsumerReport, Outcome, OwnerState, ReportAnswer};
use crate::local_api::event::{ConsumerEvent, EventKind};

impl Keeper {
    /// Takes a consumer's report. The same report again is answered like the first.
    pub(super) fn reported(&mut self, consumer: &Name, report: &ConsumerReport) -> Result<ReportAnswer, Failure> {
        self.writable()?;
        let state = self.store.state().owners.get(&report.owner).cloned().unwrap_or_default();
        let is_expected = match &state {
            State::Probation { next, .. } if next.number == report.generation => {
                manifest(&self.store, &report.owner, next)?.consumers.contains_key(consumer)
            }
            other => return self.reported_before(consumer, report, other),
        };
        if !is_expected {
            return Err(not_awaited(consumer, report));
        }
        let said = match report.outcome {
            Outcome::Ready => Report::Ready,
            Outcome::Failed => Report::Failed { reason: report.reason.clone() },
        };
        self.ahead.push(EventKind::Consumer(ConsumerEvent {
            owner: report.owner.clone(),
            generation: report.generation,
            consumer: consumer.clone(),
            outcome: report.outcome,
            reason: report.reason.clone(),
        }));
        let event = Event::Reported { number: report.generation, consumer: consumer.clone(), report: said };
        let done = self.event(&report.owner, event);
        // Only what changed something is told.
        self.ahead.clear();
        done?;
        Ok(ReportAnswer { state: self.owner_state(report) })
    }

    /// A report that ended the trial may come again: its answer may have been lost.
    fn reported_before(
        &self,
        consumer: &Name,
        report: &ConsumerReport,
        state: &State,
    ) -> Result<ReportAnswer, Failure> {
        let repeated = match (report.outcome, state) {
            (Outcome::Ready, State::Committed { current, .. }) if current.number == report.generation => {
                manifest(&self.store, &report.owner, current)?.consumers.contains_key(consumer)
            }
            (Outcome::Failed, settled) => settled.failed().is_some_and(|failed| {
                settled.last() == report.generation && failed.consumer.as_ref() == Some(consumer)
            }),
            _ => false,
        };
        if repeated { Ok(ReportAnswer { state: OwnerState::from(state) }) } else { Err(not_awaited(consumer, report)) }
    }

    fn owner_state(&self, report: &ConsumerReport) -> OwnerState {
        OwnerState::from(&self.store.state().owners.get(&report.owner).cloned().unwrap_or_default())
    }
}

fn not_awaited(consumer: &Name, report: &ConsumerReport) -> Failure {
    let (consumer, owner) = (consumer.clone(), report.owner.clone());
    RuntimeError::NotAwaited { consumer, owner, generation: report.generation }.into()
}
