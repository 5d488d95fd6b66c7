//! `casemate appliance confirm`.

use casemate_protocol::device::id::ApplianceId;
use serde_json::json;

use super::EnrolError;
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file;
use crate::site::Site;
use crate::site::enrolled::{Enrolled, State};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The appliance
    id: ApplianceId,
    /// The words read from the appliance; case, spaces and dashes do not matter
    #[arg(long, num_args = 1.., required = true, value_name = "WORDS")]
    words: Vec<String>,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let site = Site::read(context.layout()?)?;
    let found = site.enrolled.get(&args.id).ok_or_else(|| EnrolError::Unknown(args.id.clone()))?;
    if !found.words().matches(&args.words.join(" ")) {
        return Err(EnrolError::Words(args.id.clone()).into());
    }
    let confirmed = Enrolled { state: State::Confirmed, ..found.clone() };
    file::replace(&site.layout.file(&Enrolled::file(&args.id)), &confirmed.to_bytes()?)?;
    context.output.say(format!("{} is confirmed; the next plan addresses it.", args.id));
    context.output.data(&json!({ "appliance": args.id, "state": State::Confirmed }), "");
    Ok(Exit::DONE)
}
