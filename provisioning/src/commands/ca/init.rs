//! `casemate ca init`.

use std::fs;

use serde_json::json;

use super::office::{self, KeysArg};
use crate::authority::register::Register;
use crate::authority::{AuthorityError, Issuer, folder, issuer};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::repository::{Lock, Place};
use crate::signer::{Algorithm, CertificateKey};
use crate::site::settings::{self, Settings};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What it signs with
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
    /// Days until it expires; no certificate outlives it
    #[arg(long, default_value_t = 3660, value_parser = clap::value_parser!(u64).range(1..=7320))]
    days: u64,
    #[command(flatten)]
    keys: KeysArg,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let layout = context.layout()?;
    let _lock = Lock::take(&Place::new(layout.repository()))?;
    let settings = Settings::parse(&layout.text(settings::FILE)?)?;
    if layout.file(folder::AUTHORITY).exists() {
        return Err(AuthorityError::Exists.into());
    }
    let keys = args.keys.folder(&layout);
    if office::is_inside(&layout, &keys) {
        return Err(AuthorityError::Options("private keys never lie inside the site").into());
    }
    let path = issuer::key_path(&keys);
    let key = CertificateKey::make(&path, args.algorithm)?;
    let made = (|| {
        let not_after = context.now.plus_days(args.days);
        let issuer = Issuer::found(key, settings.jurisdiction, context.now, not_after)?;
        let days = settings.transport.unwrap_or_default().crl_max_age_days;
        let crl = issuer.crl(&Register::default(), None, context.now, days)?;
        office::found(&layout, &issuer, &crl)?;
        Ok::<_, Failure>(issuer.authority)
    })();
    let authority = made.inspect_err(|_| {
        // Nobody has seen a certificate by it.
        let _ = fs::remove_file(&path);
    })?;
    let output = context.output;
    output.say(format!(
        "Made the authority {}, until {}.",
        layout.file(folder::AUTHORITY).display(),
        authority.not_after
    ));
    output.say(format!("Its private key is {}: keep it off line, in two places.", path.display()));
    let value = json!({
        "authority": folder::AUTHORITY, "key": path, "serial": authority.serial, "not_after": authority.not_after,
        "spki": authority.spki,
    });
    output.data(&value, authority.spki.to_string());
    Ok(Exit::DONE)
}
