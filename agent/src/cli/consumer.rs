//! `consumer`.

use std::path::PathBuf;

use casemate_protocol::code::Code;
use clap::Args;

use super::connection::{CommandError, Setup, block_on, print_json};
use crate::consumer::allow_list::{AllowList, DEFAULT_FOLDER};
use crate::consumer::api::DEFAULT_SOCKET;
use crate::consumer::memory::DEFAULT_PATH;
use crate::consumer::unit::SYSTEMCTL;
use crate::consumer::{Follower, Options};
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(super) struct Consumer {
    /// The agent's consumer socket.
    #[arg(long, value_name = "SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// What the image allows: one file a consumer.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    consumers: PathBuf,
    /// Where it is kept what each unit runs with.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    memory: PathBuf,
    /// Read the files, say what is wrong with them, and end.
    #[arg(long)]
    check: bool,
    /// A stand-in for systemctl.
    #[arg(long, value_name = "PROGRAM", default_value = SYSTEMCTL, hide = true)]
    systemctl: PathBuf,
}

impl Consumer {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        if self.check {
            return check(setup, &AllowList::read(&self.consumers));
        }
        let follower = Follower::new(Options {
            socket: self.socket,
            consumers: self.consumers,
            memory: self.memory,
            systemctl: self.systemctl,
        });
        block_on(async {
            use tokio::signal::unix::{SignalKind, signal};

            let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Start)?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Start)?;
            tokio::select! {
                never = follower.run() => match never {},
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok(())
        })?;
        Ok(Code::Applied)
    }
}

fn check(setup: &Setup, list: &AllowList) -> Result<Code, Failure> {
    let mut faults = list.faults.iter().map(Failure::of);
    let first = faults.next();
    for more in faults {
        eprintln!("{more}");
    }
    if let Some(first) = first {
        return Err(first);
    }
    if setup.json {
        let units: std::collections::BTreeMap<_, _> =
            list.rules.iter().map(|(name, rule)| (name, (&rule.unit, &rule.verbs))).collect();
        print_json(&units)?;
        return Ok(Code::Applied);
    }
    for (name, rule) in &list.rules {
        let verbs = rule.verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(", ");
        println!("{name:<20} {:<30} {verbs}", rule.unit);
    }
    match list.rules.len() {
        0 => eprintln!("No consumer is allowed anything."),
        1 => eprintln!("1 consumer is allowed."),
        count => eprintln!("{count} consumers are allowed."),
    }
    Ok(Code::Applied)
}
