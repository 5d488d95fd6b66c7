//! `casemate sign add`.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file::{self, Audience};
use crate::output::count;
use crate::repository::editor::short;
use crate::signer::Keyring;
use crate::signing::Request;
use crate::signing::request::MAX_LENGTH;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request
    request: PathBuf,
    /// Your private key; may be given several times
    #[arg(long = "key", required = true, value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Where to write the signatures; `<REQUEST>.<key id>.sig` unless given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let shown = args.request.display().to_string();
    let request = Request::parse(&shown, &file::read(&args.request, MAX_LENGTH)?)?;
    let keyring = Keyring::of(args.keys.iter().cloned())?;
    context.output.say("What the request says it changes:");
    for line in &request.summary {
        context.output.say(format!("  {line}"));
    }
    context.output.say("What you sign:");
    for draft in &request.drafts {
        let (role, signed) = (&draft.role, &draft.signed);
        let targets = count(signed.targets.len(), "target");
        context.output.say(format!("  {role} {}: {targets}, until {}", signed.version, signed.expires));
    }
    let contribution = request.sign(&keyring)?;
    let names: Vec<_> = keyring.keyids().map(|keyid| short(&keyid.0)).collect();
    let output = args.output.clone().unwrap_or_else(|| {
        let mut name = args.request.as_os_str().to_owned();
        name.push(format!(".{}.sig", names.join("-")));
        PathBuf::from(name)
    });
    file::create(&output, &contribution.to_bytes()?, Audience::Everybody)?;
    context.output.say(format!("Wrote {}; carry it back: `casemate sign finish`.", output.display()));
    let roles: Vec<_> = contribution.signatures.keys().map(ToString::to_string).collect();
    let value = json!({ "signatures": output, "roles": roles, "request": contribution.request });
    context.output.data(&value, roles.join("\n"));
    Ok(Exit::DONE)
}
