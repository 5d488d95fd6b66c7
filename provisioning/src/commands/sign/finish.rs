//! `casemate sign finish`.

use std::path::PathBuf;

use super::request::KEPT;
use super::{Keys, report};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file;
use crate::signing::request::MAX_LENGTH;
use crate::signing::{Contribution, Publication, Request, RequestError};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The signers' files
    #[arg(required = true, value_name = "SIG")]
    signatures: Vec<PathBuf>,
    #[command(flatten)]
    keys: Keys,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let publication = Publication::open(context.layout()?, context.now)?;
    let kept = publication.layout().plan().join(KEPT);
    let raw = file::read_if_any(&kept, MAX_LENGTH)?.ok_or(RequestError::Absent)?;
    let request = Request::parse(&kept.display().to_string(), &raw)?;
    if request.plan != publication.plan.digest()? {
        return Err(RequestError::Absent.into());
    }
    let mut contributions = Vec::new();
    for path in &args.signatures {
        let shown = path.display().to_string();
        let contribution = Contribution::parse(&shown, &file::read(path, MAX_LENGTH)?)?;
        contributions.push((shown, contribution));
    }
    let documents = request.assemble(&contributions)?;
    let keyring = args.keys.read(publication.layout())?;
    let published = publication.publish(&request.drafts, &documents, &keyring)?;
    report(context.output, &published);
    Ok(Exit::DONE)
}
