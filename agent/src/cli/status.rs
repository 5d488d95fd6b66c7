//! `status`.

use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::tuf::time::UtcTime;
use clap::Args;

use super::boundary::standing;
use super::connection::{Setup, ask_for, print_json};
use crate::exit::Failure;
use crate::local_api::answer::{EnrolmentState, OwnerFailure, OwnerState, OwnerStatus, PeerStatus, StatusReport};
use crate::local_api::call::Call;

#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let report: StatusReport = ask_for(setup, Call::Status)?;
        if setup.json {
            print_json(&report)?;
        } else {
            show(&report, setup.clock.read().wall);
        }
        Ok(if report.damage.is_some() { Code::StateDamaged } else { Code::Applied })
    }
}

/// What is under way for an owner, and what failed last; `now` is the wall clock's.
fn progress(owner: &OwnerStatus, now: UtcTime) -> Vec<String> {
    let mut lines = Vec::new();
    if owner.state == OwnerState::Probation {
        let whom = match owner.awaited.as_slice() {
            [] => "its probes have held".into(),
            [one] => format!("{one} has reported"),
            several => format!("{} have reported", several.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")),
        };
        let left = span(owner.deadline_in_s.unwrap_or(0));
        lines.push(format!("on trial until {whom}; undone in {left} unless confirmed"));
    }
    if let Some(next) = &owner.next {
        let generation = format!("generation {} (version {})", next.number, next.version);
        lines.push(match owner.opens_in_s {
            Some(left) => {
                format!("{generation} waits for its window: opens {}, in {}", minute(now.plus(left)), span(left))
            }
            None => format!("{generation} is being made current"),
        });
    }
    if let Some(failure) = &owner.failure {
        let who = failure.consumer.as_ref().map(|consumer| format!(", {consumer}")).unwrap_or_default();
        let why = failure.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("generation {} was undone: {}{who}{why}", failure.generation, failure.code));
        lines.push(format!("to do: {}", remedy(failure)));
    }
    lines
}

/// What to do about a generation that was undone, for who reads the consumer's name one line above.
fn remedy(failure: &OwnerFailure) -> &'static str {
    match failure.code {
        Code::ConsumerFailed => {
            "See the consumer's log, for units that of casemate-consumer; correct the content and sign it again."
        }
        Code::ConsumerSilent => "Check that the consumer runs and follows the agent; then sign the content again.",
        code => code.remedy(),
    }
}

/// A time to the minute: what is a number of seconds from now may be one off.
fn minute(time: UtcTime) -> String {
    let text = UtcTime::from_unix((time.unix() + 30) / 60 * 60).to_string();
    format!("{} UTC", text.trim_end_matches(":00Z").replace('T', " "))
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

/// How it stands with one peer.
fn contact(peer: &PeerStatus) -> String {
    let answered = match peer.answered {
        Some(at) if peer.up => format!("answered {at}"),
        Some(at) => format!("does not answer now, answered {at}"),
        None => "has not answered since the agent started".into(),
    };
    let last = peer.last.map(|code| format!("; last {code}: {}", code.meaning())).unwrap_or_default();
    let noticed = peer.noticed.iter().map(|notice| format!("; {} × {}", notice.count, notice.code));
    format!("{}: {answered}{last}{}", peer.id, noticed.collect::<String>())
}

fn show(report: &StatusReport, now: UtcTime) {
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
        progress(owner, now).iter().for_each(|line| println!("            {line}"));
    }
    for (index, line) in report.boundary.iter().flat_map(standing).enumerate() {
        println!("{:<11} {line}", if index == 0 { "boundary" } else { "" });
    }
    report.peers.iter().for_each(|peer| println!("peer        {}", contact(peer)));
    for refusal in &report.refusals {
        println!("refused     {} × {}", refusal.count, refusal.code);
    }
    println!("receipts    {} waiting to be taken home", report.receipts_waiting);
    println!("journal     {} entries, tree head {}", report.journal.size, report.journal.root);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(state: &str, more: &serde_json::Value) -> Vec<String> {
        let mut owner = serde_json::json!({ "id": "group.clinics", "state": state, "path": "/c" });
        owner.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let now: UtcTime = "2026-11-22T06:47:13Z".parse().unwrap();
        progress(&serde_json::from_value(owner).unwrap(), now)
    }

    #[test]
    fn what_waits_is_told_with_the_time_its_window_opens() {
        let next = serde_json::json!({ "number": 5, "version": 4, "manifest": "0".repeat(64) });
        let seconds = 6 * 86_400 + 19 * 3_600 + 12 * 60 + 46;
        let told = lines("waiting", &serde_json::json!({ "next": next, "opens_in_s": seconds }));
        assert_eq!(told, ["generation 5 (version 4) waits for its window: opens 2026-11-29 02:00 UTC, in 6 days"]);
    }

    #[test]
    fn a_peer_is_told_with_when_it_answered_and_what_was_noticed() {
        let told = |peer| contact(&serde_json::from_value(peer).unwrap());
        let never = told(serde_json::json!({ "id": "depot", "up": false }));
        assert_eq!(never, "depot: has not answered since the agent started");
        let noticed = serde_json::json!([{ "code": "peer-unreached", "count": 4 }]);
        let answered = "2026-11-22T06:47:13Z";
        let down = serde_json::json!({ "id": "depot", "up": false, "answered": answered, "last": "peer-unreached", "noticed": noticed });
        let expected = "depot: does not answer now, answered 2026-11-22T06:47:13Z; last peer-unreached: A peer of the \
                        boundary does not answer.; 4 × peer-unreached";
        assert_eq!(told(down), expected);
    }

    #[test]
    fn a_trial_is_told_with_who_is_awaited_and_how_long() {
        let told = lines("probation", &serde_json::json!({ "awaited": ["nginx", "board"], "deadline_in_s": 540 }));
        assert_eq!(told, ["on trial until nginx, board have reported; undone in 9 min unless confirmed"]);
    }

    #[test]
    fn what_was_undone_is_told_with_the_reason_and_what_to_do() {
        let failure = serde_json::json!({ "generation": 4, "code": "consumer-failed", "consumer": "nginx", "reason": "validate-failed" });
        let told = lines("committed", &serde_json::json!({ "failure": failure }));
        assert_eq!(told[0], "generation 4 was undone: consumer-failed, nginx: validate-failed");
        assert!(told[1].starts_with("to do: See the consumer's log"), "{told:?}");
    }
}
