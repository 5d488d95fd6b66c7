//! `status`.

use casemate_protocol::code::Code;
use clap::Args;

use super::connection::{Setup, ask_for, print_json};
use crate::exit::Failure;
use crate::local_api::answer::{EnrolmentState, OwnerState, OwnerStatus, StatusReport};
use crate::local_api::call::Call;

#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let report: StatusReport = ask_for(setup, Call::Status)?;
        if setup.json {
            print_json(&report)?;
        } else {
            show(&report);
        }
        Ok(if report.damage.is_some() { Code::StateDamaged } else { Code::Applied })
    }
}

/// What is under way for an owner, and what failed last.
fn show_progress(owner: &OwnerStatus) {
    if owner.state == OwnerState::Probation {
        let whom = match owner.awaited.as_slice() {
            [] => "the probes hold".into(),
            awaited => format!("{} reports", awaited.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        };
        println!("            on trial until {whom}; undone in {} s", owner.deadline_in_s.unwrap_or(0));
    }
    if let Some(next) = &owner.next {
        let when = owner.opens_in_s.map(|seconds| format!(" for its window, in {}", span(seconds))).unwrap_or_default();
        println!("            generation {} (version {}) waits{when}", next.number, next.version);
    }
    if let Some(failure) = &owner.failure {
        let who = failure.consumer.as_ref().map(|consumer| format!(", {consumer}")).unwrap_or_default();
        let why = failure.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        println!("            generation {} failed: {}{who}{why}", failure.generation, failure.code);
    }
}

/// A time as people say it.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn show(report: &StatusReport) {
    let name = match (&report.appliance, &report.jurisdiction) {
        (Some(appliance), Some(jurisdiction)) => format!("{appliance} in {jurisdiction}"),
        _ => "no name yet".into(),
    };
    let enrolment = match report.enrolment {
        EnrolmentState::None => "not enrolled",
        EnrolmentState::Pending => "the words wait for confirmation",
        EnrolmentState::Confirmed => "enrolled",
    };
    println!("appliance   {name}, {enrolment}");
    if let Some(damage) = &report.damage {
        println!("damaged     {damage}");
    }
    let timestamp = report.timestamp_version.map_or_else(|| "none".into(), |version| version.to_string());
    println!("trust       root {}, timestamp {timestamp}", report.root_version);
    if report.owners.is_empty() {
        println!("owners      none has anything current");
    }
    for owner in &report.owners {
        match &owner.current {
            Some(current) => {
                println!("owner       {}: generation {} (version {})", owner.id, current.number, current.version);
            }
            None => println!("owner       {}: nothing is current yet", owner.id),
        }
        println!("            {}", owner.path.display());
        show_progress(owner);
    }
    for refusal in &report.refusals {
        println!("refused     {}: {} times", refusal.code, refusal.count);
    }
    println!("receipts    {} waiting to be taken home", report.receipts_waiting);
    println!("journal     {} entries, tree head {}", report.journal.size, report.journal.root);
}
