//! `casemate ca renew`.

use casemate_protocol::device::certificate_name::CertificateKind;
use casemate_protocol::device::id::Name;

use super::issue::tell;
use super::office::{KeysArg, Office};
use crate::authority::issuer::Wish;
use crate::authority::{AuthorityError, Certificate, Issuer};
use crate::cli::Context;
use crate::exit::{Exit, Failure};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the holders are: appliance, operator, publisher, auditor or service
    kind: CertificateKind,
    /// Who they are
    #[arg(required_unless_present = "due")]
    ids: Vec<Name>,
    /// Everybody of the kind whose certificate ends within so many days and is not revoked, nor any other for its key
    #[arg(long, value_name = "DAYS", conflicts_with = "ids")]
    due: Option<u64>,
    /// Days until they expire; certificate_days in site.toml unless given
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3660))]
    days: Option<u64>,
    /// Certify a key although a certificate for it was revoked
    #[arg(long)]
    even_if_revoked: bool,
    #[command(flatten)]
    keys: KeysArg,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let mut office = Office::open(context)?;
    let issuer = office.issuer(&args.keys)?;
    let ids = args.due.map_or_else(|| args.ids.clone(), |days| due(&office, args, days));
    let renewed = ids.into_iter().map(|id| renew(&office, args, &issuer, id)).collect::<Result<Vec<_>, _>>()?;
    let mut made = Vec::new();
    // Nothing is kept before all were made: a mistyped id changes nothing.
    for (id, certificate) in renewed {
        let name = office.name(args.kind, &id);
        let relative = office.keep(&name, &certificate)?;
        made.push((name, relative, certificate));
    }
    tell(context.output, &made);
    Ok(Exit::DONE)
}

fn due(office: &Office, args: &Args, days: u64) -> Vec<Name> {
    let end = office.now.plus_days(days);
    let newest = office.folder.certificates.iter().filter(|((found, _), _)| *found == args.kind);
    let register = &office.folder.register.0;
    let is_key_revoked = |old: &Certificate| {
        !args.even_if_revoked && register.iter().any(|entry| entry.spki == old.spki && entry.revoked_at.is_some())
    };
    let is_good = |old: &Certificate| !office.folder.is_revoked(old) && !is_key_revoked(old);
    let due = newest.filter(|(_, chain)| chain[0].not_after <= end && is_good(&chain[0]));
    due.map(|((_, id), _)| id.clone()).collect()
}

fn renew(office: &Office, args: &Args, issuer: &Issuer, id: Name) -> Result<(Name, Certificate), AuthorityError> {
    let kind = args.kind;
    let chain = office.folder.certificates.get(&(kind, id.clone()));
    let (Some(old), true) = (chain.map(|chain| &chain[0]), chain.is_some()) else {
        return Err(AuthorityError::NotIssued { kind, id });
    };
    if let Some(at) = office.folder.register.serial(&old.serial).and_then(|entry| entry.revoked_at) {
        return Err(AuthorityError::Revoked { kind, id, at });
    }
    let key = old.public_key().ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
    let name = office.name(kind, &id);
    office.check_key(old.spki, &name, args.even_if_revoked)?;
    let wish = Wish { name: &name, addresses: &old.addresses, not_after: office.end(kind, args.days) };
    let made = issuer.certificate(&key, &wish, office.now)?;
    Ok((id, made))
}
