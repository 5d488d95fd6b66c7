//! `status`.

use casemate_protocol::code::Code;
use clap::Args;

use super::connection::{Setup, ask_for, print_json};
use crate::exit::Failure;
use crate::local_api::answer::{EnrolmentState, StatusReport};
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
    }
    for refusal in &report.refusals {
        println!("refused     {}: {} times", refusal.code, refusal.count);
    }
    println!("receipts    {} waiting to be taken home", report.receipts_waiting);
    println!("journal     {} entries, tree head {}", report.journal.size, report.journal.root);
}
