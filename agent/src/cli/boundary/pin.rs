//! `boundary pin`.

use std::path::PathBuf;

use casemate_protocol::code::Code;
use clap::Args;

use crate::boundary::enforce::{DEFAULT_PATH, Pin};
use crate::cli::enrol::{confirmed_on_terminal, read_capped};
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(in crate::cli) struct PinArguments {
    /// The grant the control plane gave this appliance.
    grant: PathBuf,
    /// The words as read from the control plane; without them a terminal asks.
    #[arg(long, value_name = "WORDS")]
    words: Option<String>,
    /// Where the pin is kept.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PATH, hide = true)]
    kept: PathBuf,
}

impl PinArguments {
    pub(super) fn run(self) -> Result<Code, Failure> {
        let pin = Pin::of(&read_capped(&self.grant)?)?;
        let (appliance, jurisdiction) = (pin.anchor().appliance.clone(), pin.anchor().jurisdiction);
        eprintln!("The kernel of this machine is to enforce the boundary of {appliance} in {jurisdiction}.");
        eprintln!("Compare these words with the ones the control plane shows:\n");
        let lines = pin.words().lines();
        for line in &lines {
            eprintln!("    {line}");
        }
        eprintln!();
        let words = match self.words {
            Some(words) => words,
            None => confirmed_on_terminal(&lines)?,
        };
        pin.confirm(&words, &self.kept)?;
        eprintln!("The words are the same: pinned.");
        eprintln!("Next: `casemate-agent boundary enforce --check` shows what would be loaded. It is switched on by");
        eprintln!(
            "systemctl enable --now casemate-boundary.service casemate-boundary.path casemate-boundary-watch.service"
        );
        eprintln!("and holds for you too: docs/boundary.md says how to look before.");
        Ok(Code::Applied)
    }
}
