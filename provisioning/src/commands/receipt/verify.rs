//! `casemate receipt verify`.

use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::dsse::{DsseError, Envelope};
use casemate_protocol::evidence::health::{self, HealthError, HealthReport, HealthState};
use casemate_protocol::evidence::receipt::{self, ReceiptError, VerifiedStatement};
use serde_json::{Value, json};
use thiserror::Error;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file;
use crate::output::Table;
use crate::site::Site;
use crate::site::enrolled::{Enrolled, State};

/// Longest receipt read, bytes.
const MAX_RECEIPT: u64 = 16 * 1024 * 1024;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The receipts; health reports that came home with them may be among them
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Why a receipt proves nothing.
#[derive(Debug, Error)]
enum Invalid {
    /// It cannot be read as a receipt.
    #[error("it is no receipt")]
    Envelope(#[from] DsseError),
    /// No enrolled key signed it.
    #[error("no confirmed appliance of this site holds a key that signed it")]
    Stranger,
    /// The signature or the statement is bad.
    #[error("it does not verify")]
    Receipt(#[from] ReceiptError),
    /// The signature or the report is bad.
    #[error("it does not verify")]
    Health(#[from] HealthError),
    /// One appliance speaks for another.
    #[error("signed by {signer}, but about {about}")]
    Other {
        /// Whose key.
        signer: String,
        /// Whom it is about.
        about: String,
    },
}

impl Explain for Invalid {
    fn code(&self) -> Code {
        Code::ReceiptInvalid
    }
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let site = Site::read(context.layout()?)?;
    let mut table = Table::new(&["file", "appliance", "no.", "code", "subject", "owners", "time"]);
    let (mut values, mut exit, mut invalid) = (Vec::new(), Exit::DONE, false);
    for path in &args.files {
        let raw = file::read(path, MAX_RECEIPT)?;
        match verify(&site, &raw) {
            Ok(Statement::Health(report)) => {
                exit = exit.max(severity(&report).into());
                table.row(health_row(path, &report));
                values.push(json!({ "file": path, "valid": true, "health": *report }));
            }
            Ok(Statement::Receipt(verified)) => {
                exit = exit.max(verified.receipt().code.into());
                table.row(row(path, &verified));
                values.push(json!({ "file": path, "valid": true, "statement": verified.statement() }));
            }
            Err(error) => {
                invalid = true;
                let failure = Failure::from(error);
                table.row([name(path), "-".into(), "-".into(), failure.code().to_string()]);
                values.push(json!({
                    "file": path, "valid": false, "code": failure.code(), "what": failure.what(), "why": failure.why(),
                    "remedy": failure.remedy(),
                }));
                context.output.say(format!("error: {}: {} ({})", path.display(), failure.what(), failure.code()));
                failure.why().iter().for_each(|cause| context.output.say(format!("  why: {cause}")));
                context.output.say(format!("  to do: {}", failure.remedy()));
            }
        }
    }
    context.output.data(&json!({ "receipts": Value::Array(values) }), table.to_string());
    Ok(if invalid { Exit::RECEIPT_INVALID } else { exit })
}

/// What an appliance states about itself.
enum Statement {
    /// What it did.
    Receipt(Box<VerifiedStatement>),
    /// How it was.
    Health(Box<HealthReport>),
}

fn verify(site: &Site, raw: &[u8]) -> Result<Statement, Invalid> {
    let envelope = Envelope::parse(raw)?;
    let signed = |enrolled: &&Enrolled| {
        let keyid = enrolled.keys.receipts.keyid();
        enrolled.state == State::Confirmed && envelope.signatures.iter().any(|signature| signature.keyid == keyid)
    };
    let signer = site.enrolled.values().find(signed).ok_or(Invalid::Stranger)?;
    if envelope.payload_type == health::PAYLOAD_TYPE {
        let report = health::verify(raw, &signer.keys.receipts)?;
        return match &report.appliance {
            Some(about) if *about == signer.appliance => Ok(Statement::Health(Box::new(report))),
            about => {
                let about = about.as_ref().map_or_else(|| "nobody".into(), ToString::to_string);
                Err(Invalid::Other { signer: signer.appliance.to_string(), about })
            }
        };
    }
    let verified = receipt::verify(raw, &signer.keys.receipts)?;
    let about = verified.receipt();
    if about.appliance != signer.appliance || about.device != signer.keys.fingerprint() {
        return Err(Invalid::Other { signer: signer.appliance.to_string(), about: about.appliance.to_string() });
    }
    Ok(Statement::Receipt(Box::new(verified)))
}

/// Quarantine is damage; every other state lets an appliance work.
fn severity(report: &HealthReport) -> Code {
    if report.state == HealthState::Quarantine { Code::StateDamaged } else { Code::Applied }
}

fn health_row(path: &Path, report: &HealthReport) -> [String; 7] {
    let id = report.appliance.as_ref().map_or_else(|| "-".into(), ToString::to_string);
    let state = json!(report.state).as_str().unwrap_or_default().to_owned();
    let subject = report.timestamp_version.map_or_else(|| "-".into(), |version| format!("timestamp/{version}"));
    let reasons = report.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let reasons = if reasons.is_empty() { "-".into() } else { reasons };
    [name(path), id, "-".into(), format!("health {state}"), subject, reasons, report.time.to_string()]
}

fn row(path: &Path, verified: &VerifiedStatement) -> [String; 7] {
    let receipt = verified.receipt();
    let subject = verified.statement().subject.first().map_or("", |subject| subject.name.as_str()).to_owned();
    let owners = receipt.owners.iter().map(|owner| {
        let number = |generation: &Option<receipt::GenerationRef>| {
            generation.as_ref().map_or_else(|| "-".to_owned(), |generation| generation.number.to_string())
        };
        format!("{} {}->{} {}", owner.id, number(&owner.before), number(&owner.after), owner.code)
    });
    let owners = owners.chain(receipt.boundary.as_ref().map(boundary)).collect::<Vec<_>>().join("; ");
    let (id, number) = (receipt.appliance.to_string(), receipt.sequence.to_string());
    [name(path), id, number, receipt.code.to_string(), subject, owners, receipt.time.to_string()]
}

/// What became of the boundary; policies by the beginning of their digests.
fn boundary(outcome: &receipt::BoundaryOutcome) -> String {
    let brief = |policy: Option<Digest>| {
        policy.map_or_else(|| "-".to_owned(), |policy| policy.to_string().chars().take(8).collect())
    };
    format!("boundary {}->{} {}", brief(outcome.before), brief(outcome.after), outcome.code)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
