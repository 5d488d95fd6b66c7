//! `casemate ca crl`.

use serde_json::json;

use super::office::{KeysArg, Office};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::count;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    keys: KeysArg,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let office = Office::open(context)?;
    let crl = office.write_crl(&office.issuer(&args.keys)?)?;
    let next = crl.next_update.map_or_else(String::new, |next| format!(", the next one by {next}"));
    context.output.say(format!("Wrote ca/crl.pem{next}; plan, sign and pack bring it to the appliances."));
    let value = json!({
        "crl": "ca/crl.pem", "this_update": crl.this_update, "next_update": crl.next_update, "number": crl.number,
        "revoked": crl.serials,
    });
    context.output.data(&value, count(crl.serials.len(), "revoked certificate"));
    Ok(Exit::DONE)
}
