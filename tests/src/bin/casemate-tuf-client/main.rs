//! A TUF client around the trust core, for the public conformance suite: plain HTTP over loopback, one file a role.
//!
//! ```text
//! casemate-tuf-client --metadata-dir DIR init ROOT
//! casemate-tuf-client --metadata-dir DIR --metadata-url URL refresh
//! casemate-tuf-client --metadata-dir DIR --metadata-url URL --target-name T… --target-base-url URL --target-dir DIR download
//! ```
//!
//! Exit code 0 when everything asked for was done, else 1.

mod arguments;
mod http;
mod session;
mod store;
mod target_folder;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use session::Session;
use store::Store;

type Failure = Box<dyn std::error::Error>;

fn run() -> Result<(), Failure> {
    let Arguments { metadata_dir, command } = Arguments::parse(std::env::args().skip(1))?;
    match command {
        Command::Init { root } => Store::init(&metadata_dir, &std::fs::read(root)?),
        Command::Refresh { metadata_url } => Session::open(&metadata_dir, metadata_url)?.refresh(),
        Command::Download { metadata_url, targets, target_base_url, target_dir } => {
            let mut session = Session::open(&metadata_dir, metadata_url)?;
            session.refresh()?;
            targets.iter().try_for_each(|target| session.download(target, &target_base_url, &target_dir))
        }
    }
}

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}
