//! The loop of one command: as a daemon's, until the command has its answer.

use std::convert::Infallible;
use std::time::Duration;

use casemate_protocol::code::Code;
use serde_json::Value;

use super::agent::Agent;
use crate::config::Config;
use crate::exit::Failure;
use crate::intake::Progress;
use crate::local_api::call::{Answer, Call};
use crate::local_api::hub::{Follower, News};
use crate::local_api::{Hub, Sockets};

/// How often somebody who waits for an outcome is told how things stand.
pub const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a command can be told while it waits.
#[derive(Debug)]
pub enum Look {
    /// How far the reading of the bundle is.
    Reading(Progress),
    /// Where the owners stand: a status report.
    Standing(Value),
}

/// Hosts a loop over the state of `config` until `call` is answered. While an import waits for the outcome of a trial
/// the sockets are open, as the daemon's are: without them no consumer could report.
///
/// # Errors
/// The loop does not start, what it refuses, or that it could not close the state in order.
pub async fn host(config: Config, call: Call, look: impl Fn(Look)) -> Answer {
    let agent = Agent::start(config.clone()).await?;
    let waits = waits(&call);
    let answer = tokio::select! {
        answer = agent.call(call) => answer,
        never = tell(&agent, waits, &look) => match never {},
        never = serve(&agent, &config), if waits => match never {},
    };
    let stopped = agent.stop().await;
    let answer = answer?;
    stopped?;
    Ok(answer)
}

/// Whether the answer to `call` may wait for a trial.
#[must_use]
pub fn waits(call: &Call) -> bool {
    matches!(call, Call::Import { wait: true, dry_run: false, .. })
}

async fn tell(agent: &Agent, waits: bool, look: &impl Fn(Look)) -> Infallible {
    let mut progress = agent.progress();
    let mut ticks = tokio::time::interval(TELL_EVERY);
    loop {
        tokio::select! {
            Ok(()) = progress.changed() => look(Look::Reading(*progress.borrow_and_update())),
            _ = ticks.tick(), if waits => {
                if let Ok(status) = agent.call(Call::Status).await {
                    look(Look::Standing(status));
                }
            }
        }
    }
}

/// Opens the sockets once something is on trial.
async fn serve(agent: &Agent, config: &Config) -> Infallible {
    let hub = agent.hub();
    let mut changes = hub.follow(None);
    while !is_on_trial(agent).await {
        next(&mut changes, &hub).await;
    }
    match Sockets::bind(&config.local) {
        Ok(sockets) => sockets.serve(agent.calls(), hub).await,
        Err(error) => {
            let failure = Failure::of(&error);
            tracing::error!(code = %failure.code, %error, "consumers cannot report to this command");
        }
    }
    std::future::pending().await
}

async fn is_on_trial(agent: &Agent) -> bool {
    matches!(agent.desk().ask(|keeper| keeper.under_way()).await, Ok(Some(Code::Probation)))
}

async fn next(changes: &mut Follower, hub: &Hub) {
    if changes.next().await == News::Overrun {
        *changes = hub.follow(None);
    }
}
