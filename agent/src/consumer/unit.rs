//! What is done to units, through `systemctl`.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::allow_list::Verb;
use super::child::{self, ChildError, Ended};

/// Where Debian has it.
pub const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// Time for a question: systemd answers at once, or not at all.
const ASK_WITHIN: Duration = Duration::from_secs(30);

/// Why a unit did not take a change up.
#[derive(Debug, Error)]
pub enum UnitError {
    /// `systemctl` could not be started, or did not end in time.
    #[error("systemctl {verb} {unit} has no result")]
    NoResult {
        /// What was asked.
        verb: &'static str,
        /// Of which unit.
        unit: String,
        /// Why.
        #[source]
        source: ChildError,
    },
    /// It said no.
    #[error("systemctl {verb} {unit}: {output}")]
    Failed {
        /// What was asked.
        verb: &'static str,
        /// Of which unit.
        unit: String,
        /// What it said.
        output: String,
    },
    /// It said yes, and yet the unit does not run.
    #[error("{unit} is {state} after {verb}")]
    NotActive {
        /// What was asked.
        verb: &'static str,
        /// Which unit.
        unit: String,
        /// What it is instead.
        state: String,
    },
}

/// The program that speaks to systemd.
#[derive(Clone, Debug)]
pub struct Systemctl(pub PathBuf);

impl Systemctl {
    /// Has `unit` take a change up and sees that it runs afterwards.
    ///
    /// A unit that failed before is started, whatever the verb: it cannot be reloaded, and the way back from a
    /// generation that broke it has to lead to a service that runs. Its count of failed starts is cleared first, or
    /// systemd would refuse to start it.
    ///
    /// # Errors
    /// It did not, or not in time.
    pub async fn take_up(&self, unit: &str, verb: Verb, within: Duration) -> Result<(), UnitError> {
        let verb = if self.state(unit).await? == "failed" {
            self.ask("reset-failed", unit, ASK_WITHIN).await?;
            "restart"
        } else {
            verb.as_str()
        };
        let ended = self.ask(verb, unit, within).await?;
        if !ended.status.success() {
            return Err(UnitError::Failed { verb, unit: unit.into(), output: ended.output });
        }
        let state = self.state(unit).await?;
        if matches!(state.as_str(), "active" | "reloading" | "refreshing") {
            return Ok(());
        }
        Err(UnitError::NotActive { verb, unit: unit.into(), state })
    }

    /// `active`, `inactive`, `failed`, …
    async fn state(&self, unit: &str) -> Result<String, UnitError> {
        let ended = self.ask("is-active", unit, ASK_WITHIN).await?;
        Ok(ended.output.split_whitespace().next().unwrap_or("unknown").into())
    }

    async fn ask(&self, verb: &'static str, unit: &str, within: Duration) -> Result<Ended, UnitError> {
        let arguments = ["--no-ask-password", "--no-pager", verb, "--", unit];
        let ended = child::run(&self.0, &arguments, within).await;
        ended.map_err(|source| UnitError::NoResult { verb, unit: unit.into(), source })
    }
}
