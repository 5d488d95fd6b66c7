//! `boundary show`.

use casemate_protocol::boundary::Edit;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::evidence::health::{Enforcement, Layers};
use clap::Args;

use super::super::connection::{Setup, ask_for, print_json};
use crate::boundary::drops::{DropDirection, DropRow, Drops};
use crate::exit::Failure;
use crate::local_api::answer::{BoundaryReport, BoundaryTrial, Narrower};
use crate::local_api::call::Call;

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {}

impl Show {
    pub(in crate::cli) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let report: BoundaryReport = ask_for(setup, Call::Boundary { drops: true })?;
        if setup.json {
            print_json(&report)?;
        } else {
            lines(&report).iter().for_each(|line| println!("{line}"));
        }
        Ok(Code::Applied)
    }
}

/// The report as people read it.
fn lines(report: &BoundaryReport) -> Vec<String> {
    let mut lines = vec![row("in force", &format!("policy {}", report.policy))];
    let entries = report.allow.entries();
    if entries.is_empty() {
        lines.push(row("", "nothing may leave or come in"));
    }
    lines.extend(entries.iter().map(|entry| row("", entry)));
    lines.extend(signed(report));
    lines.extend(report.trial.as_ref().map(trial));
    lines.extend(enforced(report));
    if let Some(change) = &report.last_change {
        lines.push(row("changed", &format!("{}, {}: {}", change.time, change.code, change.code.meaning())));
        lines.extend(change.changes.iter().map(|entry| {
            let sign = if entry.edit == Edit::Added { '+' } else { '-' };
            row("", &format!("{sign} {}", entry.item))
        }));
    }
    lines.extend(stopped(report.attempts, report.drops.as_ref()));
    lines
}

fn row(title: &str, text: &str) -> String {
    format!("{title:<11} {text}")
}

fn signed(report: &BoundaryReport) -> Vec<String> {
    let Some(source) = &report.signed else { return vec![row("signed", "no boundary is assigned")] };
    let mut lines =
        vec![row("signed", &format!("{} version {}, policy {}", source.name, source.version, source.policy))];
    lines.push(row("", &format!("document {}, envelope {}", source.document, source.envelope)));
    lines.extend(report.narrowed_by.iter().map(|narrower| {
        row(
            "",
            match narrower {
                Narrower::Site => "narrowed by the site's own file",
                Narrower::Fallback => "narrowed: a wider boundary was tried and a required peer was not reached",
            },
        )
    }));
    lines
}

fn trial(trial: &BoundaryTrial) -> String {
    let names: Vec<_> = trial.awaited.iter().map(Name::as_str).collect();
    row("on trial", &format!("until {} is reached; given up in {} s", names.join(", "), trial.deadline_in_s))
}

fn enforced(report: &BoundaryReport) -> Vec<String> {
    let who = match report.enforcement {
        Enforcement::Host => "the kernel, for the whole machine",
        Enforcement::ProcessOnly => "the agent, for itself alone: other programs on this machine are not kept inside",
        Enforcement::Observe => "nobody for a time: what goes beyond it is logged and let through",
        Enforcement::None => "nobody, though the kernel should: see systemctl status casemate-boundary",
    };
    let Layers { door, seccomp, landlock, landlock_tcp, host } = report.layers;
    let layers = [
        (door, "door"),
        (seccomp, "seccomp"),
        (landlock, "landlock"),
        (landlock_tcp, "landlock-tcp"),
        (host, "nftables"),
    ];
    let holding: Vec<_> = layers.iter().filter(|(holds, _)| *holds).map(|(_, name)| *name).collect();
    let mut lines = vec![row("enforced by", who), row("layers", &holding.join(", "))];
    let Some(enforcer) = &report.enforcer else { return lines };
    if enforcer.policy != report.policy {
        lines.push(row("differs", &format!("the kernel holds policy {}", enforcer.policy)));
    }
    if let Some(until) = enforcer.observe_until {
        lines.push(row("", &format!("observed until {until}")));
    }
    if let Some(refused) = enforcer.refused {
        lines.push(row("refused", &format!("{}: {}", refused.code, refused.code.meaning())));
    }
    lines
}

fn stopped(attempts: u64, drops: Option<&Drops>) -> Vec<String> {
    let mut lines = vec![row("stopped", &format!("{attempts} packets"))];
    let Some(drops) = drops else {
        lines.push(row("", "nobody watches: casemate-boundary-watch does not run"));
        return lines;
    };
    if drops.lost > 0 {
        lines.push(row("", &format!("{} of them came too fast to be told apart", drops.lost)));
    }
    lines.extend(drops.rows.iter().map(|drop| row("", &told(drop))));
    lines
}

fn told(drop: &DropRow) -> String {
    let (way, to) = match drop.direction {
        DropDirection::In => ("in", "from"),
        DropDirection::Out => ("out", "to"),
        DropDirection::Forward => ("through", "to"),
    };
    let port = drop.port.map(|port| format!(" port {port}")).unwrap_or_default();
    let unit = drop.unit.as_deref().map(|unit| format!(" by {unit}")).unwrap_or_default();
    let user = drop.uid.map(|uid| format!(" (uid {uid})")).unwrap_or_default();
    let DropRow { protocol, address, count, last_seen, .. } = drop;
    format!("{count} × {way} {protocol} {to} {address}{port}{unit}{user}, last {last_seen}")
}

#[cfg(test)]
mod tests {
    use casemate_protocol::boundary::Policy;
    use serde_json::json;

    use super::*;

    fn report() -> BoundaryReport {
        let allow = Policy::default();
        BoundaryReport {
            policy: allow.digest(),
            allow,
            signed: None,
            narrowed_by: Vec::new(),
            trial: None,
            enforcement: Enforcement::ProcessOnly,
            layers: Layers { door: true, seccomp: true, ..Layers::default() },
            enforcer: None,
            last_change: None,
            attempts: 0,
            drops: None,
        }
    }

    #[test]
    fn an_appliance_without_a_boundary_says_that_nothing_leaves() {
        let told = lines(&report());
        assert_eq!(told[1].trim(), "nothing may leave or come in");
        assert!(told.iter().any(|line| line == "layers      door, seccomp"), "{told:#?}");
        assert!(told.iter().any(|line| line.contains("casemate-boundary-watch does not run")), "{told:#?}");
    }

    #[test]
    fn what_was_stopped_is_told_with_unit_user_and_destination() {
        let drops = json!({ "format": 1, "total": 3, "lost": 0, "rows": [{
            "uid": 991, "unit": "chatty.service", "direction": "out", "protocol": "udp", "address": "192.0.2.9",
            "port": 53, "count": 3, "first_seen": "2026-11-22T08:00:00Z", "last_seen": "2026-11-22T09:00:00Z",
        }] });
        let report = BoundaryReport { attempts: 3, drops: serde_json::from_value(drops).unwrap(), ..report() };
        let expected = "3 × out udp to 192.0.2.9 port 53 by chatty.service (uid 991), last 2026-11-22T09:00:00Z";
        assert_eq!(lines(&report).last().unwrap().trim(), expected);
    }
}
