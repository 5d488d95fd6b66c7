//! The loop with a socket in front and a stick beside it, until it is told to stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::agent::Agent;
use super::error::RuntimeError;
use super::links;
use super::stick_watch::watch;
use super::turn::Ended;
use super::watchdog;
use crate::config::Config;
use crate::exit::Failure;
use crate::local_api::Sockets;
use crate::local_api::call::Request;
use crate::service;

/// How long connections may still write their answers before a new process takes over.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs until SIGTERM or SIGINT, or until what is in force takes a new process. `ready` is called once calls are taken.
///
/// # Errors
/// The state cannot be opened, the socket not be made, or the state not be closed in order.
pub async fn daemon(config: Config, ready: impl FnOnce()) -> Result<Ended, Failure> {
    let fail = |source| RuntimeError::Start { action: "listen for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    // Caught and dropped: the configuration is read at the start only, and whoever asks for a reload ends nothing.
    let _hangup = signal(SignalKind::hangup()).map_err(fail)?;
    let agent = Agent::start(config.clone()).await?;
    // Only the holder of the lock gets here, so sockets that lie there are dead.
    let sockets = match Sockets::bind(&config.local) {
        Ok(sockets) => sockets,
        Err(error) => {
            agent.stop().await?;
            return Err(error.into());
        }
    };
    ready();
    service::ready();
    let calls = agent.calls();
    {
        let mut serving = std::pin::pin!(sockets.serve(agent.calls(), agent.hub()));
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = &mut serving => {}
            () = watch(config.stick.as_deref(), &agent) => {}
            () = stay_alive(&calls) => {}
            never = links::tend(agent.ties(), agent.calls(), &config) => match never {},
            () = agent.over() => {
                tracing::info!("what is in force takes a new process");
                let _served = tokio::time::timeout(LAST_WORDS, &mut serving).await;
            }
        }
    }
    tracing::info!("stopping");
    service::stopping();
    drop((sockets, calls));
    agent.stop().await
}

/// Feeds the service manager's watchdog, if it has one.
async fn stay_alive(calls: &mpsc::Sender<Request>) {
    match service::watchdog() {
        Some(interval) => watchdog::feed(interval, calls, service::alive).await,
        None => std::future::pending().await,
    }
}
