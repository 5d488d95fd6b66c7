//! The loop with a socket in front and a stick beside it, until it is told to stop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::evidence::receipt::Transport;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::agent::Agent;
use super::error::RuntimeError;
use super::import::send_home;
use super::links;
use super::store_thread::Desk;
use super::turn::Ended;
use super::watchdog;
use crate::config::Config;
use crate::exit::Failure;
use crate::local_api::Sockets;
use crate::local_api::call::{Call, ImportSource, Request};
use crate::local_api::event::EventKind;
use crate::local_api::hub::{Follower, Hub, News};
use crate::service;
use crate::transport::stick::Inventory;

/// How often the stick's folder is looked at: often enough for a person who waits beside it, seldom enough not to
/// count as work.
const LOOK_EVERY: Duration = Duration::from_secs(3);

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

/// Imports the stick whenever its inbox holds something else than at the last import and has come to rest. Outcomes
/// are not waited for; a receipt that comes later goes onto the stick if it is still the same.
async fn watch(stick: Option<&Path>, agent: &Agent) {
    let Some(stick) = stick else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let hub = agent.hub();
    let mut receipts = hub.follow(None);
    let (mut imported, mut seen) = (Inventory::default(), Inventory::default());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = receipt(&mut receipts, &hub), if !imported.is_empty() => {
                if Inventory::take(stick) == imported {
                    carry_home(agent.desk(), stick).await;
                }
                continue;
            }
        }
        let now = Inventory::take(stick);
        let at_rest = now == seen;
        seen = now;
        if !at_rest || seen == imported {
            continue;
        }
        imported = seen.clone();
        if seen.is_empty() {
            continue;
        }
        tracing::info!("a stick with bundles");
        let source = ImportSource::Path(PathBuf::from(stick));
        let call = Call::Import { source, transport: Transport::Stick, wait: false, dry_run: false };
        match agent.call(call).await {
            Ok(report) => tracing::info!(code = report["code"].as_str(), "the stick was imported"),
            Err(failure) => tracing::warn!(code = %failure.code, "the stick was not imported"),
        }
    }
}

/// Until a receipt was written, or may have been.
async fn receipt(changes: &mut Follower, hub: &Hub) {
    loop {
        match changes.next().await {
            News::Events(events) => {
                if events.iter().any(|(event, _)| matches!(event.kind, EventKind::Receipt(_))) {
                    return;
                }
            }
            News::Overrun => {
                *changes = hub.follow(None);
                return;
            }
            News::Ended => return std::future::pending().await,
        }
    }
}

async fn carry_home(desk: Desk, stick: &Path) {
    let stick = stick.to_owned();
    // A panic there is told by the runtime; the receipts wait for the next stick.
    let _written = tokio::task::spawn_blocking(move || {
        // What an import wrote went with it.
        if desk.ask_blocking(|keeper| keeper.owes_receipts()).unwrap_or(false) {
            send_home(&desk, &stick);
        }
    })
    .await;
}
