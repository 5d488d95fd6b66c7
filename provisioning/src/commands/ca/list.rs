//! `casemate ca list`.

use casemate_protocol::device::certificate_name::CertificateKind;
use serde_json::json;

use super::office::Office;
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::Table;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these: appliance, operator, publisher, auditor or service
    kind: Option<CertificateKind>,
    /// Every certificate ever issued, with serial numbers; else each holder's newest
    #[arg(long)]
    all: bool,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let office = Office::open(context)?;
    let register = &office.folder.register;
    let mut table = Table::new(&["kind", "id", "state", "until", "pin", "serial"]);
    let mut values = Vec::new();
    for entry in register.0.iter().filter(|entry| args.kind.is_none_or(|kind| kind == entry.kind)) {
        let newest = register.of(entry.kind, &entry.id).next_back().is_some_and(|newest| newest.serial == entry.serial);
        if !args.all && !newest {
            continue;
        }
        let state = entry.state(office.now);
        let cells = [entry.kind.as_str(), entry.id.as_str(), state].map(str::to_owned);
        let more = [entry.not_after.to_string(), entry.spki.to_string(), entry.serial.clone()];
        table.row(cells.into_iter().chain(more));
        values.push(json!({
            "kind": entry.kind.as_str(), "id": entry.id, "state": state, "serial": entry.serial, "not_after": entry.not_after,
            "revoked_at": entry.revoked_at, "spki": entry.spki,
        }));
    }
    let authority = &office.folder.authority;
    let crl =
        office.folder.crl.as_ref().map(|crl| json!({ "this_update": crl.this_update, "next_update": crl.next_update }));
    let value = json!({
        "authority": { "not_after": authority.not_after, "spki": authority.spki }, "crl": crl, "certificates": values,
    });
    context.output.say(format!("The authority holds until {}.", authority.not_after));
    context.output.data(&value, table.to_string());
    Ok(Exit::DONE)
}
