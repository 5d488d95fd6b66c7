//! The environment: what it holds decides about loaders, logs, proxies and time zones, so nothing of it stays.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::error::ConfineError;

/// What stays: where the service manager and the journal are told things, as systemd documents.
const KEPT: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

/// Returns if the environment holds nothing but what is kept; else the program starts again without the rest, in this
/// process. Loader variables such as `LD_PRELOAD` had their effect before, and have none on what starts now.
///
/// # Errors
/// The program could not be started again.
pub fn clear() -> Result<(), ConfineError> {
    let is_kept = |name: &OsStr| KEPT.iter().any(|kept| name == *kept);
    if std::env::vars_os().all(|(name, _)| is_kept(&name)) {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    again.args(arguments).env_clear().envs(std::env::vars_os().filter(|(name, _)| is_kept(name)));
    Err(ConfineError::Environment(again.exec()))
}
