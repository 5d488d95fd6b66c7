//! `casemate sign`.

mod add;
mod finish;
mod request;

use std::path::PathBuf;

use casemate_protocol::tuf::role::{RoleName, Version};
use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::signer::{KeyError, Keyring};
use crate::signing::{Publication, RequestError};
use crate::site::Layout;

/// Options.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// In life: one machine a step
    #[command(subcommand)]
    step: Option<Step>,
    #[command(flatten)]
    keys: Keys,
}

/// Where private keys are.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// The folder with the private keys (`*.key`); `<SITE>-keys` beside the site unless given
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

impl Keys {
    /// The keys at hand.
    ///
    /// # Errors
    /// The folder or one of the keys cannot be used.
    pub(crate) fn read(&self, layout: &Layout) -> Result<Keyring, KeyError> {
        Keyring::read(&self.folder(layout))
    }

    fn folder(&self, layout: &Layout) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| layout.default_keys())
    }
}

/// One step of signing by several persons.
#[derive(Debug, clap::Subcommand)]
enum Step {
    /// Write the request that is carried to the signers
    Request(request::Args),
    /// Compare a request with the signer's own site folder and sign it, at the signer's own machine
    ///
    /// Plans the site here, writes nothing, and signs only if the request asks for exactly that: every role, path, digest,
    /// delegation and version. Anything else is refused (request-differs). Without a site folder every target is listed with
    /// its SHA-256, and --without-site must be stated.
    Add(add::Args),
    /// Take the signatures, sign snapshot and timestamp, publish
    Finish(finish::Args),
}

/// Runs it: without a step, everything at once with the keys at hand.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    match &args.step {
        Some(Step::Request(args)) => request::run(context, args),
        Some(Step::Add(args)) => add::run(context, args),
        Some(Step::Finish(args)) => finish::run(context, args),
        None => at_once(context, &args.keys),
    }
}

fn at_once(context: &Context, keys: &Keys) -> Result<Exit, Failure> {
    let publication = Publication::open(context.layout()?, context.now)?;
    let keyring = keys.read(publication.layout())?;
    let request = publication.request()?;
    let made = request.sign(&keyring).map_err(|error| match error {
        RequestError::NoSigner => RequestError::NoneAtHand(keys.folder(publication.layout())),
        other => other,
    })?;
    let documents = request.assemble(&[("the keys at hand".into(), made)])?;
    let published = publication.publish(&request.drafts, &documents, &keyring)?;
    report(context.output, &published);
    Ok(Exit::DONE)
}

fn report(output: Output, published: &[(RoleName, Version)]) {
    let shown: Vec<_> = published.iter().map(|(role, version)| format!("{role} {version}")).collect();
    let roles: Vec<_> = published.iter().map(|(role, version)| json!({ "role": role, "version": version })).collect();
    output.say("Signed and published in the site's repository; next: `casemate check`, `casemate pack`.");
    output.data(&json!({ "published": roles }), shown.join("\n"));
}
