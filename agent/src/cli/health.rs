//! `health`.

use casemate_protocol::code::Code;
use casemate_protocol::evidence::health::{HealthReport, HealthState};
use casemate_protocol::evidence::receipt::ClockQuality;
use clap::Args;

use super::boundary::standing;
use super::connection::{Setup, ask_for, print_json};
use crate::exit::Failure;
use crate::local_api::call::Call;

#[derive(Debug, Args)]
pub(super) struct Health {}

impl Health {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let report: HealthReport = ask_for(setup, Call::Health)?;
        if setup.json {
            print_json(&report)?;
        } else {
            show(&report);
        }
        Ok(if report.state == HealthState::Quarantine { Code::StateDamaged } else { Code::Applied })
    }
}

fn show(report: &HealthReport) {
    let state = match report.state {
        HealthState::Ok => "ok",
        HealthState::Stale => "stale",
        HealthState::Degraded => "degraded",
        HealthState::ClockUntrusted => "clock-untrusted",
        HealthState::BreakGlass => "break-glass",
        HealthState::Quarantine => "quarantine",
    };
    println!("state       {state}");
    for code in &report.reasons {
        println!("reason      {code}: {}", code.meaning());
        println!("            to do: {}", code.remedy());
    }
    for (index, line) in report.boundary.iter().flat_map(standing).enumerate() {
        println!("{:<11} {line}", if index == 0 { "boundary" } else { "" });
    }
    println!("generations {}", report.generations);
    let days = |what: Option<i64>| what.map_or_else(|| "none".into(), |days| format!("{days} days"));
    if let Some(certificates) = &report.certificates {
        println!("certificate {} left", days(certificates.certificate_days));
        println!("revocations {} until the list is stale", days(certificates.crl_days));
    }
    println!("receipts    {} waiting", report.receipts_waiting);
    let clock = match report.clock {
        ClockQuality::Plausible => "plausible",
        ClockQuality::Untrusted => "untrusted",
    };
    println!("time        {}, clock {clock}", report.time);
    println!("journal     {} entries, tree head {}", report.journal.size, report.journal.root);
}
