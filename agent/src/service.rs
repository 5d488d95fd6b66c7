//! What the service manager is told: that the agent is ready, that it stops, that it is alive.
//!
//! Where no service manager asks for it, nothing happens. Only what says where it listens is taken from the
//! environment (`NOTIFY_SOCKET`, `WATCHDOG_USEC`), as systemd documents.

use std::time::Duration;

use sd_notify::NotifyState;

/// Calls are taken from now on.
pub fn ready() {
    tell(&NotifyState::Ready);
}

/// The agent is on its way out, because it was told to.
pub fn stopping() {
    tell(&NotifyState::Stopping);
}

/// The agent is alive.
pub fn alive() {
    tell(&NotifyState::Watchdog);
}

/// How often [`alive`] is to be said: twice in the time after which the service manager gives up on the agent. `None`
/// if nobody listens.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2).filter(|interval| !interval.is_zero())
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
