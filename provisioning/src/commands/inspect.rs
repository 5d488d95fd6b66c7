//! `casemate inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::appraisal::{Addressee, Inspection};
use casemate_protocol::code::Explain;
use serde_json::{Value, json};

use crate::authority::transport;
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file;
use crate::output::{Table, bytes};
use crate::pack::bounded::{self, in_words};
use crate::pack::reading::{Found, read};
use crate::plan::setting::conditions;

/// Longest root read, bytes.
const MAX_ROOT: u64 = 16 * 1024 * 1024;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundles
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Trust this root (a `1.root.json`) and verify; without it the bundle is only checked against itself
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let root = args.root.as_ref().map(|path| file::read(path, MAX_ROOT)).transpose()?;
    let (mut values, mut text, mut exit) = (Vec::new(), String::new(), Exit::DONE);
    for path in &args.files {
        let length = path.metadata().map_or(0, |metadata| metadata.len());
        let bar = context.output.progress(length);
        let found = read(path, root.as_deref(), context.now, &mut |count| bar.inc(count));
        bar.finish_and_clear();
        let found = found?;
        let verified = root.is_some() && found.inspection.is_ok();
        match &found.inspection {
            Ok(inspection) => {
                text.push_str(&table(path, &found, inspection, verified));
                values.push(value(path, &found, inspection, verified));
            }
            Err(refusal) => {
                let code = refusal.code();
                exit = exit.max(code.into());
                let why = crate::exit::causes(refusal);
                context.output.say(format!("error: {}: {refusal} ({code})", path.display()));
                why.iter().for_each(|cause| context.output.say(format!("  why: {cause}")));
                context.output.say(format!("  to do: {}", refusal.remedy()));
                text.push_str(&format!("{}: refused, {code}; {} members read\n", path.display(), found.members));
                values.push(json!({
                    "file": path, "verified": false, "code": code, "what": refusal.to_string(), "why": why,
                    "remedy": refusal.remedy(),
                }));
            }
        }
    }
    context.output.data(&json!({ "bundles": values }), text);
    Ok(exit)
}

fn table(path: &Path, found: &Found, inspection: &Inspection, verified: bool) -> String {
    let trust = &inspection.trust;
    let roots: Vec<_> = found.roots.iter().map(ToString::to_string).collect();
    let mut facts = Table::new(&[&format!("{}:", path.display()), ""]);
    let mut fact = |name: &str, text: String| facts.row([format!("  {name}"), text]);
    fact(
        "verified",
        if verified { "yes, by the given root".into() } else { "not verified: no --root was given".into() },
    );
    fact(
        "jurisdiction",
        format!("{}{}", trust.jurisdiction, if trust.demo { ", demo: one person may do everything" } else { "" }),
    );
    fact("roots", roots.join(" "));
    fact("timestamp", format!("{}, signed {}", trust.timestamp, trust.signed_at));
    for (role, expires) in &found.expires {
        fact(&format!("{role} expires"), expires.to_string());
    }
    fact("size", format!("{} in {} members", bytes(found.length), found.members));
    for unverified in &inspection.unverified {
        fact("broken role", format!("{}: {} ({})", unverified.role, unverified.why, unverified.code));
    }
    let mut owners = Table::new(&["  appliance", "owner", "version", "files", "size", "applied", "summary"]);
    for (id, cells) in rows(&inspection.addressees) {
        owners.row([format!("  {id}")].into_iter().chain(cells));
    }
    format!("{facts}{owners}{}", boundaries(&inspection.addressees))
}

/// Whose boundary allows what.
fn boundaries(addressees: &[Addressee]) -> String {
    let mut text = String::new();
    for addressee in addressees {
        let (id, verdict) = (&addressee.assignment.appliance, &addressee.boundary);
        text.push_str(&format!("  boundary of {id}: {}\n", in_words(verdict)));
        let entries = verdict.outcome.iter().flat_map(|signed| signed.policy.entries());
        entries.for_each(|entry| text.push_str(&format!("    {entry}\n")));
        if let Some(settings) = &addressee.assignment.transport {
            text.push_str(&format!("  connections of {id}: {}\n", transport::told(Some(settings))));
        }
    }
    text
}

fn rows(addressees: &[Addressee]) -> Vec<(String, Vec<String>)> {
    let mut rows = Vec::new();
    for addressee in addressees {
        for owner in &addressee.owners {
            let version = owner.version.map_or_else(|| "-".into(), |version| version.to_string());
            let cells = match &owner.outcome {
                Ok(found) => {
                    let size: u64 = found.manifest.files.iter().map(|file| file.length).sum();
                    let files = found.manifest.files.len().to_string();
                    let (applied, summary) = (conditions(&found.manifest), found.manifest.summary.clone());
                    vec![owner.owner.to_string(), version, files, bytes(size), applied, summary]
                }
                Err(refusal) => {
                    let refused = format!("refused: {refusal}");
                    vec![owner.owner.to_string(), version, "-".into(), "-".into(), "-".into(), refused]
                }
            };
            rows.push((addressee.assignment.appliance.to_string(), cells));
        }
    }
    rows
}

fn value(path: &Path, found: &Found, inspection: &Inspection, verified: bool) -> Value {
    let trust = &inspection.trust;
    let appliances: Vec<_> = inspection
        .addressees
        .iter()
        .map(|addressee| {
            let owners = addressee.owners.iter().map(|owner| match &owner.outcome {
                Ok(found) => json!({
                    "owner": owner.owner, "version": owner.version,
                    "summary": found.manifest.summary, "manifest": found.digest,
                    "apply": found.manifest.apply, "consumers": found.manifest.consumers,
                    "files": found.manifest.files.iter()
                        .map(|file| json!({ "path": file.path, "length": file.length, "parts": file.parts.len() }))
                        .collect::<Vec<_>>(),
                }),
                Err(refusal) => json!({ "owner": owner.owner, "version": owner.version, "code": refusal.code() }),
            });
            json!({
                "id": addressee.assignment.appliance, "owners": owners.collect::<Vec<_>>(),
                "boundary": bounded::value(&addressee.boundary),
                "transport": transport::value(addressee.assignment.transport.as_ref()),
            })
        })
        .collect();
    let expires: BTreeMap<_, _> = found.expires.iter().map(|(role, time)| (role.to_string(), time)).collect();
    json!({
        "file": path, "length": found.length, "sha256": found.digest, "members": found.members, "verified": verified,
        "roots": found.roots, "jurisdiction": trust.jurisdiction, "demo": trust.demo,
        "timestamp": trust.timestamp, "signed_at": trust.signed_at, "snapshot": trust.snapshot, "expires": expires,
        "appliances": appliances,
        "unverified": inspection.unverified.iter()
            .map(|role| json!({ "role": role.role, "code": role.code })).collect::<Vec<_>>(),
    })
}
