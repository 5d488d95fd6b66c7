//! `enrol request` and `enrol accept`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use casemate_protocol::canonical;
use casemate_protocol::code::Code;
use clap::{Args, Subcommand};

use super::connection::{CommandError, Setup, ask, ask_for};
use crate::exit::Failure;
use crate::local_api::answer::{ConfirmedEnrolment, PendingEnrolment};
use crate::local_api::call::Call;

#[derive(Debug, Subcommand)]
pub(super) enum Enrol {
    /// Write a request; makes this device's keys, which never leave it.
    Request(Request),
    /// Read a grant and confirm its words.
    Accept(Accept),
}

#[derive(Debug, Args)]
pub(super) struct Request {
    /// Where to write the request.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Accept {
    /// The grant the control plane gave.
    grant: PathBuf,
    /// The words as read from the control plane; without them a terminal asks.
    #[arg(long, value_name = "WORDS")]
    words: Option<String>,
}

impl Enrol {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        match self {
            Self::Request(request) => request.run(setup),
            Self::Accept(accept) => accept.run(setup),
        }
    }
}

impl Request {
    fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let mut text = canonical::encode(&ask(setup, Call::EnrolRequest)?);
        text.push(b'\n');
        std::fs::write(&self.output, text)
            .map_err(|source| CommandError::Write { path: self.output.clone(), source })?;
        eprintln!("Request written to {}.", self.output.display());
        eprintln!("Next: take it to the control plane, `casemate appliance enrol {}`.", self.output.display());
        Ok(Code::Applied)
    }
}

impl Accept {
    fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let grant = read_capped(&self.grant)?;
        let pending: PendingEnrolment = ask_for(setup, Call::EnrolGrant { grant })?;
        eprintln!("This appliance is to be {} in {}.", pending.appliance, pending.jurisdiction);
        if pending.demo {
            eprintln!("Its root says `demo`: one person may do everything.");
        }
        eprintln!("Compare these words with the ones the control plane shows:\n");
        for line in &pending.words {
            eprintln!("    {line}");
        }
        eprintln!();
        let words = match self.words {
            Some(words) => words,
            None => confirmed_on_terminal(&pending.words)?,
        };
        let enrolled: ConfirmedEnrolment = ask_for(setup, Call::EnrolWords { words })?;
        eprintln!("The words are the same: enrolled as {} in {}.", enrolled.appliance, enrolled.jurisdiction);
        eprintln!("Next: confirm at the control plane, `casemate appliance confirm {} --words …`.", enrolled.appliance);
        Ok(Code::Applied)
    }
}

/// The words shown, if somebody at a terminal says that they are the same.
pub(super) fn confirmed_on_terminal(words: &[String]) -> Result<String, Failure> {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() {
        return Err(CommandError::Unconfirmed.into());
    }
    let _shown = write!(stderr, "Are they the same? Type yes or no: ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer).is_ok();
    if read && answer.trim().eq_ignore_ascii_case("yes") {
        Ok(words.join("\n"))
    } else {
        Err(CommandError::Unconfirmed.into())
    }
}

/// A grant may be long, not endless: what is over the limit is refused by the reader of grants.
pub(super) fn read_capped(path: &Path) -> Result<Vec<u8>, CommandError> {
    use std::io::Read;
    let fail = |source| CommandError::Read { path: path.into(), source };
    let limit = casemate_protocol::device::enrolment::MAX_ENROLMENT_FILE + 1;
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(limit).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}
