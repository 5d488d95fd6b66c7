//! `casemate ca revoke`.

use casemate_protocol::device::certificate_name::CertificateKind;
use casemate_protocol::device::id::Name;
use serde_json::json;

use super::office::{KeysArg, Office};
use crate::authority::AuthorityError;
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::count;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the holder is: appliance, operator, publisher, auditor or service
    kind: CertificateKind,
    /// Who the holder is
    id: Name,
    /// Only the certificate with this serial number (`casemate ca list --all`)
    #[arg(long, value_name = "HEX")]
    serial: Option<String>,
    #[command(flatten)]
    keys: KeysArg,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let mut office = Office::open(context)?;
    // Before anything is written: without the key there is no new list, and only the list revokes.
    let issuer = office.issuer(&args.keys)?;
    let now = office.now;
    let (kind, id) = (args.kind, &args.id);
    let is_meant = |serial: &str| args.serial.as_ref().is_none_or(|meant| meant.eq_ignore_ascii_case(serial));
    if office.folder.register.of(kind, id).next().is_none() {
        return Err(AuthorityError::NotIssued { kind, id: id.clone() }.into());
    }
    let mut revoked = Vec::new();
    let mut known = false;
    for entry in &mut office.folder.register.0 {
        if (entry.kind, &entry.id) == (kind, id) && is_meant(&entry.serial) {
            known = true;
            // One that has expired as well: its key is not certified again, and a peer is known by its key alone.
            if entry.revoked_at.is_none() {
                entry.revoked_at = Some(now);
                revoked.push(entry.serial.clone());
            }
        }
    }
    if let Some(serial) = args.serial.clone().filter(|_| !known) {
        return Err(AuthorityError::Serial { kind, id: id.clone(), serial }.into());
    }
    // The register first: a list can always be written again from it.
    office.write_register()?;
    let crl = office.write_crl(&issuer)?;
    let output = context.output;
    match revoked.len() {
        0 => output.say(format!("Every certificate of {kind} {id} is revoked already; the list is new all the same.")),
        number => output.say(format!("Revoked {} of {kind} {id}.", count(number, "certificate"))),
    }
    output.say("Appliances learn of it with the next bundle: plan, sign, pack.");
    let value = json!({ "revoked": revoked, "crl": { "this_update": crl.this_update, "next_update": crl.next_update, "number": crl.number, "revoked": crl.serials } });
    output.data(&value, revoked.join("\n"));
    Ok(Exit::DONE)
}
