//! RAUC over D-Bus: RAUC checks its bundle's signature once more, chooses the slot, writes and marks it.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;
use zbus::export::futures_core::Stream;

use super::error::SlotError;
use super::installer::InstallerProxy;
use super::last_error;
use super::writer::{Progress, SlotName, SlotWriter, Slots};

/// Answers to plain calls come within this. RAUC asks the boot loader's tools for some of them.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// `Operation` when RAUC does nothing.
const IDLE: &str = "idle";

/// RAUC behind a bus.
#[derive(Clone, Debug)]
pub struct Rauc {
    bus: PathBuf,
    limit: Duration,
}

impl Rauc {
    /// RAUC on the bus whose socket is `bus`; an installation may take `limit`.
    #[must_use]
    pub fn new(bus: PathBuf, limit: Duration) -> Self {
        Self { bus, limit }
    }

    /// A connection for one operation: the bus or RAUC may be restarted between two. Given as a socket, not as a bus
    /// address, which could name a host.
    async fn connect(&self) -> Result<InstallerProxy<'static>, SlotError> {
        let failed = |source| self.failed(source);
        let stream = UnixStream::connect(&self.bus).map_err(|error| failed(error.into()))?;
        let builder = zbus::connection::Builder::unix_stream(stream).method_timeout(ANSWER_LIMIT);
        let greeted = async { InstallerProxy::new(&builder.build().await?).await };
        let late = || failed(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        tokio::time::timeout(ANSWER_LIMIT, greeted).await.map_err(|_| late())?.map_err(failed)
    }

    /// RAUC's own errors have a text; everything else means that it did not answer.
    fn failed(&self, source: zbus::Error) -> SlotError {
        match source {
            zbus::Error::MethodError(_, Some(message), _) => {
                SlotError::Refused { reason: last_error::reason(&message), message }
            }
            source => SlotError::Unreachable { bus: self.bus.clone(), source },
        }
    }

    async fn slots(&self, rauc: &InstallerProxy<'_>) -> Result<Slots, SlotError> {
        let failed = |source| self.failed(source);
        let status = rauc.get_slot_status().await.map_err(failed)?;
        let text = |slot: &HashMap<String, zbus::OwnedVariant>, key| slot.get(key).map(written).unwrap_or_default();
        // Slots without a boot name belong to another slot's group and are written with it.
        let bootable = || status.iter().filter(|(_, slot)| slot.contains_key("bootname"));
        let booted = bootable().find(|(_, slot)| text(slot, "state") == "booted");
        let Some((booted, _)) = booted else {
            return Err(SlotError::BootedUnknown {
                place: "RAUC".into(),
                found: rauc.boot_slot().await.ok(),
                known: bootable().map(|(name, _)| name.clone()).collect(),
            });
        };
        let seal = |slot| ["sha256", "installed.timestamp", "installed.count"].map(|key| text(slot, key)).join(" ");
        let seals: BTreeMap<_, _> = bootable().map(|(name, slot)| (SlotName::new(name.as_str()), seal(slot))).collect();
        let next = rauc.get_primary().await.map_err(failed)?;
        Ok(Slots { booted: SlotName::new(booted.as_str()), next: SlotName::new(next), seals })
    }

    /// Waits until RAUC has ended what an earlier process of ours, or somebody else, began.
    async fn idle(&self, rauc: &InstallerProxy<'_>) -> Result<(), SlotError> {
        let failed = |source| self.failed(source);
        let mut changes = rauc.receive_operation_changed().await;
        let waiting = async {
            while rauc.operation().await.map_err(failed)? != IDLE {
                next(&mut changes).await.ok_or(SlotError::Stopped)?;
            }
            Ok(())
        };
        tokio::time::timeout(self.limit, waiting).await.map_err(|_| SlotError::Busy(self.limit))?
    }

    /// Starts the installation and follows it to its end.
    async fn run(&self, rauc: &InstallerProxy<'_>, artifact: &str, progress: &Progress) -> Result<i32, SlotError> {
        let failed = |source| self.failed(source);
        // Before the call: a short installation may have ended when the call returns.
        let mut completed = rauc.receive_completed().await.map_err(failed)?;
        let mut owner = rauc.inner().receive_owner_changed().await.map_err(failed)?;
        let mut steps = rauc.receive_progress_changed().await;
        rauc.install_bundle(artifact, HashMap::new()).await.map_err(failed)?;
        let deadline = Instant::now() + self.limit;
        loop {
            tokio::select! {
                biased;
                Some(step) = next(&mut steps) => {
                    if let Ok((percent, message, _depth)) = step.get().await {
                        progress(u8::try_from(percent).unwrap_or_default());
                        tracing::debug!(percent, said = message, "RAUC");
                    }
                }
                signal = next(&mut completed) => {
                    let signal = signal.ok_or(SlotError::Stopped)?;
                    return Ok(signal.args().map_err(failed)?.result);
                }
                Some(None) = next(&mut owner) => return Err(SlotError::Stopped),
                () = tokio::time::sleep_until(deadline) => return Err(SlotError::TimedOut(self.limit)),
            }
        }
    }
}

impl SlotWriter for Rauc {
    async fn look(&self) -> Result<Slots, SlotError> {
        let rauc = self.connect().await?;
        self.idle(&rauc).await?;
        self.slots(&rauc).await
    }

    async fn install(&self, artifact: &Path, progress: &Progress) -> Result<SlotName, SlotError> {
        let rauc = self.connect().await?;
        self.idle(&rauc).await?;
        let path = artifact.to_string_lossy();
        if self.run(&rauc, &path, progress).await? != 0 {
            let message = rauc.last_error().await.map_err(|source| self.failed(source))?;
            return Err(SlotError::Refused { reason: last_error::reason(&message), message });
        }
        // `Operation` turns idle after `Completed`; until then RAUC may refuse to be asked.
        self.idle(&rauc).await?;
        let slots = self.slots(&rauc).await?;
        if slots.next == slots.booted {
            return Err(SlotError::NotMarked { next: slots.next });
        }
        Ok(slots.next)
    }

    async fn boot_next(&self, slot: &SlotName) -> Result<(), SlotError> {
        let rauc = self.connect().await?;
        self.idle(&rauc).await?;
        let (_, message) = rauc.mark("active", slot.as_str()).await.map_err(|source| self.failed(source))?;
        tracing::info!(%slot, said = message, "RAUC");
        Ok(())
    }
}

/// A value of a slot's status as text.
fn written(value: &zbus::OwnedVariant) -> String {
    match &**value {
        zbus::Variant::Str(text) => text.to_string(),
        zbus::Variant::U32(number) => number.to_string(),
        _ => String::new(),
    }
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}
