//! `casemate ca pin`.

use std::path::PathBuf;

use serde_json::json;

use crate::authority::{AuthorityError, Certificate, pem};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file;

/// Longest certificate read, bytes.
const MAX_CERTIFICATE: u64 = 1024 * 1024;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The certificate (PEM or DER), whoever issued it; of a chain, the first
    file: PathBuf,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let content = || AuthorityError::Content { path: args.file.clone(), expected: "certificate" };
    let der = pem::or_der(pem::CERTIFICATE, file::read(&args.file, MAX_CERTIFICATE)?).ok_or_else(content)?;
    let certificate = Certificate::parse(&der).ok_or_else(content)?;
    let value = json!({
        "spki": certificate.spki, "not_after": certificate.not_after,
        "name": certificate.name.as_ref().map(ToString::to_string),
    });
    context.output.data(&value, certificate.spki.to_string());
    Ok(Exit::DONE)
}
