//! `casemate ca`.

mod crl;
mod init;
mod issue;
mod list;
mod office;
mod pin;
mod renew;
mod revoke;

use crate::cli::Context;
use crate::exit::{Exit, Failure};

/// What can be done with certificates.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make the site's certificate authority
    ///
    /// Its private key goes to the keys folder (certificate-authority.pem, mode 0600), its certificate and an empty revocation
    /// list into SITE/ca. Every appliance of the site accepts it from the next bundle on.
    Init(init::Args),
    /// Issue a certificate
    ///
    /// An appliance's is for the TLS key it was enrolled with. Anybody else brings a certificate request (--csr), so that the
    /// private key stays where it was made, or has a key made here (--key-out).
    Issue(issue::Args),
    /// Issue a certificate again for the same key, with a new life
    Renew(renew::Args),
    /// Revoke a holder's certificates and write a new revocation list
    Revoke(revoke::Args),
    /// Write a new revocation list, so that appliances do not call theirs stale
    Crl(crl::Args),
    /// List certificates: who, until when, how they stand
    List(list::Args),
    /// Print what pins a key in a boundary: SHA-256 of a certificate's SubjectPublicKeyInfo
    Pin(pin::Args),
}

/// Runs a verb.
pub(crate) fn run(context: &Context, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init::run(context, args),
        Verb::Issue(args) => issue::run(context, args),
        Verb::Renew(args) => renew::run(context, args),
        Verb::Revoke(args) => revoke::run(context, args),
        Verb::Crl(args) => crl::run(context, args),
        Verb::List(args) => list::run(context, args),
        Verb::Pin(args) => pin::run(context, args),
    }
}
