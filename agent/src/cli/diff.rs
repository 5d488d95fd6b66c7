//! `diff`.

use casemate_protocol::code::Code;
use casemate_protocol::device::id::Owner;
use casemate_protocol::evidence::receipt::GenerationRef;
use clap::Args;

use super::connection::{Setup, ask_for, print_json};
use crate::exit::Failure;
use crate::local_api::answer::{Change, DiffReport, OwnerDiff};
use crate::local_api::call::Call;

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// This owner only, such as group.clinics.
    owner: Option<Owner>,
}

impl Diff {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let mut report: DiffReport = ask_for(setup, Call::Diff)?;
        report.owners.retain(|owner| self.owner.as_ref().is_none_or(|wanted| *wanted == owner.id));
        if setup.json {
            print_json(&report)?;
            return Ok(Code::Applied);
        }
        if report.owners.is_empty() {
            match &self.owner {
                Some(owner) => eprintln!("Nothing is current or under way for {owner}."),
                None => eprintln!("Nothing is current or under way."),
            }
        }
        for owner in &report.owners {
            let number = |generation: &Option<GenerationRef>| {
                generation.as_ref().map_or_else(|| "none".into(), |generation| generation.number.to_string())
            };
            println!("{}: generation {} → {}", owner.id, number(&owner.from), number(&owner.to));
            show(owner);
        }
        Ok(Code::Applied)
    }
}

/// Shows an owner's changes, file by file, and whom they touch.
pub(super) fn show(owner: &OwnerDiff) {
    if owner.files.is_empty() {
        println!("    no file changes");
    }
    for file in &owner.files {
        let change = match file.change {
            Change::Added => "added",
            Change::Removed => "removed",
            Change::Changed => "changed",
        };
        let consumer = file.consumer.as_ref().map(|consumer| format!("  ({consumer})")).unwrap_or_default();
        println!("    {change:<8} {}{consumer}", file.path);
    }
    if !owner.consumers.is_empty() {
        let names = owner.consumers.iter().map(ToString::to_string).collect::<Vec<_>>();
        println!("    touches  {}", names.join(", "));
    }
}
