//! `run`.

use std::path::Path;

use casemate_protocol::code::{Code, Explain};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::config::{Config, WriterConfig};
use crate::exit::Failure;
use crate::ledger::Ledger;
use crate::service::Service;
use crate::slot::{Files, Rauc, SlotWriter};

/// Another value after every start of the kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Why the service cannot start.
#[derive(Debug, Error)]
#[error("cannot {0}")]
pub(super) struct StartError(&'static str, #[source] std::io::Error);

impl Explain for StartError {
    fn code(&self) -> Code {
        Code::StateUnavailable
    }
}

/// Runs until the first signal to stop. An installation under way is cut there: slots bear that.
pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let runtime = runtime()?;
    let stopped = runtime.block_on(async {
        match config.writer.clone() {
            WriterConfig::Rauc { bus } => serve(config, Rauc::new(bus, config.limit)).await,
            WriterConfig::Files { slots, pointer, booted } => {
                serve(config, Files::new(slots, pointer, booted, config.limit)).await
            }
        }
    });
    runtime.shutdown_background();
    stopped
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    built.map_err(|source| StartError("start the event loop", source))
}

async fn serve<W: SlotWriter>(config: &Config, writer: W) -> Result<(), Failure> {
    let caught = |source| StartError("catch signals", source);
    let mut terminate = signal(SignalKind::terminate()).map_err(caught)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(caught)?;
    std::fs::create_dir_all(&config.state).map_err(|source| StartError("make the state folder", source))?;
    let boot = std::fs::read_to_string(Path::new(BOOT_ID)).map_err(|source| StartError("read the boot id", source))?;
    let service = Service {
        agent: Agent::new(config.socket.clone()),
        consumer: config.consumer.clone(),
        assigners: config.assigners.clone(),
        writer,
        ledger: Ledger::open(&config.state)?,
        folder: config.state.clone(),
        boot: boot.trim().into(),
    };
    tokio::select! {
        () = Box::pin(service.run()) => {}
        _ = terminate.recv() => tracing::info!("stopping"),
        _ = interrupt.recv() => tracing::info!("stopping"),
    }
    Ok(())
}
