//! `casemate ca issue`.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use casemate_protocol::device::certificate_name::{CertificateKind, CertificateName};
use casemate_protocol::device::id::{ApplianceId, Name};
use casemate_protocol::digest::Digest;
use casemate_protocol::encoding;
use rcgen::PublicKeyData;
use serde_json::json;

use super::office::{KeysArg, Office, is_inside};
use crate::authority::issuer::Wish;
use crate::authority::register::Entry;
use crate::authority::request::{ProvenKey, of_appliance};
use crate::authority::{AuthorityError, Certificate, Issuer, pem};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file;
use crate::output::{Output, Table};
use crate::signer::{Algorithm, CertificateKey};
use crate::site::enrolled::{self, Enrolled, State};

/// Longest certificate request read, bytes.
const MAX_REQUEST: u64 = 64 * 1024;

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the holder is: appliance, operator, publisher, auditor or service
    kind: CertificateKind,
    /// Who the holder is: for a person a token, not the name
    id: Name,
    /// The holder's certificate request (PKCS#10, PEM or DER); not for appliances, whose request came with their enrolment
    #[arg(long, value_name = "FILE", conflicts_with = "key_out")]
    csr: Option<PathBuf>,
    /// Make a private key here, in this file (mode 0600, outside the site)
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
    /// What the key made with --key-out is for
    #[arg(long, value_enum, default_value_t, requires = "key_out")]
    algorithm: Algorithm,
    /// An address at which a service answers; may be given several times
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// Days until it expires; certificate_days in site.toml unless given
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3660))]
    days: Option<u64>,
    /// The holder changes to another key: the certificate it has stays good as well until it expires or is revoked
    #[arg(long)]
    another_key: bool,
    /// Certify a key although a certificate for it was revoked
    #[arg(long)]
    even_if_revoked: bool,
    #[command(flatten)]
    keys: KeysArg,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    if !args.addresses.is_empty() && args.kind != CertificateKind::Service {
        return Err(AuthorityError::Options("only a service has addresses").into());
    }
    let mut office = Office::open(context)?;
    let issuer = office.issuer(&args.keys)?;
    let name = office.name(args.kind, &args.id);
    let made = match (&args.key_out, args.kind) {
        (None, CertificateKind::Appliance) if args.csr.is_none() => {
            certify(&office, args, &issuer, &name, &appliance_key(&office, &args.id)?)?
        }
        (_, CertificateKind::Appliance) => {
            let what = "an appliance's certificate is for the key it was enrolled with: neither --csr nor --key-out";
            return Err(AuthorityError::Options(what).into());
        }
        (Some(path), _) => with_new_key(&office, args, &issuer, &name, path)?,
        (None, _) => certify(&office, args, &issuer, &name, &requested_key(args.csr.as_deref())?)?,
    };
    let relative = office.keep(&name, &made)?;
    tell(context.output, &[(name, relative, made)]);
    Ok(Exit::DONE)
}

/// Prints what was made: who, until when, which pin.
pub(super) fn tell(output: Output, made: &[(CertificateName, String, Certificate)]) {
    let mut table = Table::new(&["holder", "until", "pin"]);
    let mut values = Vec::new();
    for (name, file, certificate) in made {
        let Certificate { serial, not_after, spki, .. } = certificate;
        table.row([format!("{} {}", name.kind, name.id), not_after.to_string(), spki.to_string()]);
        values.push(json!({
            "name": name.to_string(), "file": file, "serial": serial, "not_after": not_after, "spki": spki,
        }));
    }
    output.data(&json!({ "certificates": values }), table.to_string());
}

/// The TLS key of an appliance, which it has proven to hold and whose words somebody has compared.
fn appliance_key(office: &Office, id: &ApplianceId) -> Result<ProvenKey, Failure> {
    let raw = file::read_if_any(&office.layout.file(&Enrolled::file(id)), enrolled::MAX_LENGTH)?;
    let enrolled = Enrolled::parse(id, &raw.ok_or_else(|| AuthorityError::Unknown(id.clone()))?)?;
    if enrolled.state != State::Confirmed {
        return Err(AuthorityError::Pending(id.clone()).into());
    }
    let csr = enrolled.csr.as_ref().ok_or_else(|| AuthorityError::NoRequest(id.clone()))?;
    Ok(of_appliance(id.as_str(), &encoding::from_base64(csr).unwrap_or_default(), &enrolled.keys)?)
}

fn requested_key(path: Option<&Path>) -> Result<ProvenKey, Failure> {
    let nothing = || AuthorityError::Options("say --csr FILE if the holder has a key, or --key-out FILE to make one");
    let path = path.ok_or_else(nothing)?;
    let content = || AuthorityError::Content { path: path.to_owned(), expected: "certificate request" };
    let der = pem::or_der(pem::REQUEST, file::read(path, MAX_REQUEST)?).ok_or_else(content)?;
    Ok(ProvenKey::of(&path.display().to_string(), &der)?)
}

fn with_new_key(
    office: &Office,
    args: &Args,
    issuer: &Issuer,
    name: &CertificateName,
    path: &Path,
) -> Result<Certificate, Failure> {
    if is_inside(&office.layout, path) {
        return Err(AuthorityError::Options("a private key never lies inside the site").into());
    }
    let key = CertificateKey::make(path, args.algorithm)?;
    let made = certify(office, args, issuer, name, &key).inspect_err(|_| {
        // A key that certifies nobody would only be mistaken for one that does.
        let _ = fs::remove_file(path);
    })?;
    Ok(made)
}

fn certify(
    office: &Office,
    args: &Args,
    issuer: &Issuer,
    name: &CertificateName,
    key: &impl PublicKeyData,
) -> Result<Certificate, AuthorityError> {
    let pin = Digest::of(&key.subject_public_key_info());
    let register = &office.folder.register;
    office.check_key(pin, name, args.even_if_revoked)?;
    let holds = |entry: &&Entry| entry.spki != pin && entry.state(office.now) == "valid";
    if let Some(entry) = register.of(name.kind, &name.id).find(holds).filter(|_| !args.another_key) {
        return Err(AuthorityError::Taken { kind: name.kind, id: name.id.clone(), until: entry.not_after });
    }
    let wish = Wish { name, addresses: &args.addresses, not_after: office.end(name.kind, args.days) };
    issuer.certificate(key, &wish, office.now)
}
