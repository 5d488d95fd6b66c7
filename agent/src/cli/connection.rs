//! How a command reaches the state: through the daemon's socket, or by hosting the loop itself.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::code::{Code, Explain};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::confinement;
use crate::boundary::process::confine;
use crate::clock::WallClock;
use crate::config::{Config, ConfigError};
use crate::exit::Failure;
use crate::local_api::call::{Answer, Call};
use crate::local_api::client::Client;
use crate::runtime::{self, Look};

/// How often a daemon that is being started anew is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What goes wrong around a call.
#[derive(Debug, Error)]
pub(super) enum CommandError {
    /// A file named on the command line cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file named on the command line cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The event loop cannot start.
    #[error("cannot start the event loop")]
    Start(#[source] std::io::Error),
    /// The answer has another shape.
    #[error("the agent's answer has another shape")]
    Answer(#[source] serde_json::Error),
    /// There is nothing to host a loop over.
    #[error("there is no state in {0}: this appliance never asked to join a site")]
    NoState(PathBuf),
    /// Nobody confirmed the words.
    #[error("nobody confirmed the words")]
    Unconfirmed,
}

impl Explain for CommandError {
    fn code(&self) -> Code {
        match self {
            Self::Read { .. } => Code::InputUnreadable,
            Self::Write { .. } => Code::UsageInvalid,
            Self::Start(_) | Self::Answer(_) => Code::Internal,
            Self::NoState(_) => Code::NotEnrolled,
            Self::Unconfirmed => Code::WordsDiffer,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Write { .. } => "Choose a place that can be written.".into(),
            Self::NoState(_) => "Run `casemate-agent enrol request` as the user the agent runs as; if the state is \
                                 elsewhere, name its configuration with --config."
                .into(),
            Self::Unconfirmed => {
                "Compare the words with those of the control plane, then type yes, or give them with --words.".into()
            }
            other => other.code().remedy().into(),
        }
    }
}

/// What every command starts from.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) file: PathBuf,
    pub(super) clock: WallClock,
    /// Print data as JSON, errors too.
    pub(super) json: bool,
}

impl Setup {
    /// The configuration.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.file, self.clock.clone())
    }
}

/// Runs `work` on a small event loop.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Start)?;
    let result = runtime.block_on(work);
    // An import that was abandoned may still wait for its child; the child ends with this process.
    runtime.shutdown_background();
    result
}

/// Asks the daemon, or, where none runs, a loop hosted here until it has answered.
pub(super) fn ask(setup: &Setup, call: Call) -> Answer {
    ask_watching(setup, call, |_| {})
}

/// As [`ask`]; `look` is told how things stand meanwhile. How far a bundle is read only a loop hosted here tells.
pub(super) fn ask_watching(setup: &Setup, call: Call, look: impl Fn(Look)) -> Answer {
    let config = setup.load()?;
    block_on(async move {
        let socket = config.admin_socket();
        if let Some(client) = Client::connect(socket).await {
            return tokio::select! {
                answer = client.call(&call) => answer,
                never = tell(socket, &look), if runtime::waits(&call) => match never {},
            };
        }
        // Whoever makes the folder owns it: a question asked by root must not lock the agent's user out.
        if !matches!(call, Call::EnrolRequest) && !config.state.exists() {
            return Err(CommandError::NoState(config.state).into());
        }
        confine(&confinement::of_command(&config))?;
        runtime::host(config, call, look).await
    })
}

/// Whether a daemon that ended a moment ago takes calls again, or does before long.
pub(super) fn is_back(setup: &Setup) -> Result<bool, Failure> {
    let config = setup.load()?;
    let back = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            // The first at once: the one that ends may answer still, and is asked once more for nothing.
            ticks.tick().await;
            ticks.tick().await;
            if Client::connect(config.admin_socket()).await.is_some() {
                return;
            }
        }
    };
    block_on(async { Ok(tokio::time::timeout(PATIENCE, back).await.is_ok()) })
}

/// Tells how the daemon's owners stand, from time to time.
async fn tell(socket: &Path, look: &impl Fn(Look)) -> Infallible {
    let mut ticks = tokio::time::interval(runtime::TELL_EVERY);
    loop {
        ticks.tick().await;
        if let Some(client) = Client::connect(socket).await
            && let Ok(status) = client.call(&Call::Status).await
        {
            look(Look::Standing(status));
        }
    }
}

/// As [`ask`], with the answer read.
pub(super) fn ask_for<T: DeserializeOwned>(setup: &Setup, call: Call) -> Result<T, Failure> {
    read(ask(setup, call)?)
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    Ok(serde_json::from_value(answer).map_err(CommandError::Answer)?)
}

/// Prints a document for programs.
pub(super) fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(document).map_err(CommandError::Answer)?);
    Ok(())
}
