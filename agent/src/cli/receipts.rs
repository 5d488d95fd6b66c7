//! `receipts list` and `receipts export`.

use std::path::PathBuf;

use casemate_protocol::canonical;
use casemate_protocol::code::Code;
use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::{Setup, ask, ask_for, print_json};
use crate::exit::Failure;
use crate::local_api::answer::ReceiptList;
use crate::local_api::call::Call;
use crate::outbox::{self, Release};

#[derive(Debug, Subcommand)]
pub(super) enum Receipts {
    /// Which receipts are kept here.
    List(List),
    /// Write the receipts kept here into a folder, to be taken home.
    Export(Export),
}

#[derive(Debug, Args)]
pub(super) struct List {}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The folder.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

impl Receipts {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        match self {
            Self::List(list) => list.run(setup),
            Self::Export(export) => export.run(setup),
        }
    }
}

impl List {
    fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let list: ReceiptList = ask_for(setup, Call::Receipts)?;
        if setup.json {
            print_json(&list)?;
            return Ok(Code::Applied);
        }
        if list.receipts.is_empty() {
            eprintln!("No receipts.");
        }
        for entry in &list.receipts {
            let about =
                entry.timestamp_version.map_or_else(|| "input".into(), |version| format!("timestamp {version}"));
            let taken = if entry.taken { "taken home" } else { "waiting" };
            println!("{:>6}  {:<24} {about:<16} {taken}", entry.sequence, entry.code.as_str());
        }
        Ok(Code::Applied)
    }
}

impl Export {
    fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let list: ReceiptList = ask_for(setup, Call::Receipts)?;
        let mut releases = Vec::new();
        for entry in &list.receipts {
            let mut envelope = canonical::encode(&ask(setup, Call::Receipt { sequence: entry.sequence })?);
            envelope.push(b'\n');
            releases.push(Release::Receipt { sequence: entry.sequence, envelope });
        }
        let written =
            if releases.is_empty() { Vec::new() } else { outbox::release(&self.output, &[], &list.outbox, &releases)? };
        for entry in list.receipts.iter().filter(|entry| !entry.taken) {
            ask(setup, Call::ReceiptTaken { sequence: entry.sequence, by: None })?;
        }
        if setup.json {
            print_json(&json!({ "written": written }))?;
        } else {
            for path in &written {
                println!("{}", path.display());
            }
            eprintln!("{} of {} receipts written; nothing else left this appliance.", written.len(), releases.len());
        }
        Ok(Code::Applied)
    }
}
