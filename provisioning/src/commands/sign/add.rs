//! `casemate sign add`.

use std::path::PathBuf;

use casemate_protocol::code::{Code, Explain};
use serde_json::json;
use thiserror::Error;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file::{self, Audience};
use crate::repository::editor::short;
use crate::signer::Keyring;
use crate::signing::request::MAX_LENGTH;
use crate::signing::{Proposal, Request, comparison, listing};
use crate::site::{Layout, SiteError};

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
    /// There is no site folder to compare the request with: sign what is listed, compared by other means
    #[arg(long)]
    without_site: bool,
}

/// Why nothing is signed.
#[derive(Debug, Error)]
enum AddError {
    /// Nothing says what the request should be.
    #[error("nothing here says whether the request is what was agreed: it was listed and not signed")]
    Uncompared(#[source] SiteError),
    /// Two contrary options.
    #[error("--site names a site to compare the request with, --without-site says there is none")]
    Contrary,
}

impl Explain for AddError {
    fn code(&self) -> Code {
        Code::UsageInvalid
    }

    fn remedy(&self) -> String {
        match self {
            Self::Uncompared(_) => {
                "Name your own copy of the site with --site DIR; or compare every line above by other \
                means, then state --without-site."
                    .into()
            }
            Self::Contrary => "Leave one of them out; with a site folder at hand, --without-site.".into(),
        }
    }
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let shown = args.request.display().to_string();
    let request = Request::parse(&shown, &file::read(&args.request, MAX_LENGTH)?)?;
    let keyring = Keyring::of(args.keys.iter().cloned())?;
    let compared = judge(context, args, &request)?;
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
    let value = json!({
        "signatures": output, "roles": roles, "request": contribution.request, "compared_with": compared,
    });
    context.output.data(&value, roles.join("\n"));
    Ok(Exit::DONE)
}

/// Shows what would be signed. Returns the site folder that gives the same; `None` if it was stated that there is none.
fn judge(context: &Context, args: &Args, request: &Request) -> Result<Option<PathBuf>, Failure> {
    if args.without_site {
        if context.names_site() {
            return Err(AddError::Contrary.into());
        }
        list(context, request);
        return Ok(None);
    }
    match context.layout() {
        Ok(layout) => compare(context, request, layout).map(Some),
        Err(error @ SiteError::Absent(_)) if !context.names_site() => {
            list(context, request);
            Err(AddError::Uncompared(error).into())
        }
        Err(error) => Err(error.into()),
    }
}

fn compare(context: &Context, request: &Request, layout: Layout) -> Result<PathBuf, Failure> {
    let own = Proposal::of(layout, context.now)?;
    let drafts = comparison::compare(request, &own)?;
    let (output, root) = (context.output, own.site.layout.root());
    // What the folder itself gives, not what the request says about it.
    let summary = own.summary(&drafts);
    output.say("What it changes:");
    for line in &summary {
        output.say(format!("  {line}"));
    }
    if request.summary != summary {
        claim(context, request);
    }
    output.say("What you sign:");
    for draft in &request.drafts {
        output.say(format!("  {}", listing::head(draft)));
    }
    output.say(format!("These are the drafts of your own site folder, {}.", root.display()));
    Ok(root.to_owned())
}

/// Everything in the request: there is no earlier state it could be relative to.
fn list(context: &Context, request: &Request) {
    claim(context, request);
    context.output.say("What you sign, in full; what is not listed is no longer published:");
    for draft in &request.drafts {
        context.output.say(format!("  {}", listing::head(draft)));
        for line in listing::content(draft) {
            context.output.say(format!("    {line}"));
        }
    }
}

fn claim(context: &Context, request: &Request) {
    context.output.say("What the requester claims it changes; nothing here proves these words:");
    for line in request.summary.iter().flat_map(|line| line.split('\n')) {
        context.output.say(format!("  | {line}"));
    }
}
