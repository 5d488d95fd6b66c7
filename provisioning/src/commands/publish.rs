//! `casemate pack --mqtt`: leaves a bundle with a broker, then goes.

use std::net::SocketAddr;
use std::path::PathBuf;

use casemate_protocol::broker::{MAX_BUNDLE, Scope};
use casemate_protocol::digest::Digest;
use serde_json::json;

use crate::broker::connect::{Parties, connect};
use crate::broker::publication::Publication;
use crate::broker::session::Session;
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::{bytes, count};
use crate::pack::{Contents, archive};

/// Options that only a broker needs.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Leaving {
    /// For whom on the broker: `appliance ID` or `group ID`; may be given several times
    #[arg(long, num_args = 2, value_names = ["KIND", "ID"], requires = "mqtt")]
    to: Vec<String>,
    /// The publisher's certificate, PEM
    #[arg(long, value_name = "FILE", requires = "mqtt")]
    certificate: Option<PathBuf>,
    /// The publisher's private key, PEM
    #[arg(long, value_name = "FILE", requires = "mqtt")]
    key: Option<PathBuf>,
    /// SHA-256 of the broker's public key, as `casemate ca pin` prints it
    #[arg(long, value_name = "SHA256", requires = "mqtt")]
    pin: Option<Digest>,
    /// How long the broker keeps it: days or hours, such as 30d or 12h
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = expiry)]
    expiry: u32,
    /// Clear the chunks of older bundles afterwards
    #[arg(long, requires = "mqtt")]
    clean: bool,
}

/// Seconds in `30d` or `12h`.
fn expiry(text: &str) -> Result<u32, String> {
    let refuse = || format!("{text:?} is no time such as 30d or 12h");
    let (number, unit) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 86_400),
        (None, Some(hours)) => (hours, 3_600),
        (None, None) => return Err(refuse()),
    };
    let number: u32 = number.parse().map_err(|_| refuse())?;
    number.checked_mul(unit).filter(|seconds| *seconds > 0).ok_or_else(refuse)
}

/// A broker needs more than its address.
#[derive(Debug, thiserror::Error)]
#[error("--mqtt needs --to, --certificate, --key and --pin; {0} is missing or wrong")]
struct Incomplete(&'static str);

impl casemate_protocol::code::Explain for Incomplete {
    fn code(&self) -> casemate_protocol::code::Code {
        casemate_protocol::code::Code::UsageInvalid
    }
}

impl Leaving {
    /// For whom.
    ///
    /// # Errors
    /// Not two words each time, or not such.
    pub(crate) fn scopes(&self) -> Result<Vec<Scope>, Failure> {
        let one = |pair: &[String]| match pair {
            [kind, id] if kind == "appliance" => id.parse().ok().map(Scope::Appliance),
            [kind, id] if kind == "group" => id.parse().ok().map(Scope::Group),
            _ => None,
        };
        let scopes: Option<Vec<_>> = self.to.chunks(2).map(one).collect();
        let scopes = scopes.filter(|scopes| !scopes.is_empty());
        scopes.ok_or_else(|| Incomplete("--to appliance ID or --to group ID").into())
    }

    fn parties(&self, broker: SocketAddr) -> Result<Parties<'_>, Incomplete> {
        Ok(Parties {
            broker,
            pin: self.pin.ok_or(Incomplete("--pin"))?,
            certificate: self.certificate.as_deref().ok_or(Incomplete("--certificate"))?,
            key: self.key.as_deref().ok_or(Incomplete("--key"))?,
        })
    }
}

/// Leaves `contents`, which have been judged, with the broker.
pub(super) fn run(context: &Context, args: &Leaving, broker: SocketAddr, contents: &Contents) -> Result<Exit, Failure> {
    let scopes = args.scopes()?;
    let parties = args.parties(broker)?;
    let publication = if contents.length() > MAX_BUNDLE {
        Publication::pull(contents.version)
    } else {
        let mut bundle = Vec::new();
        archive::write_to(contents, &mut bundle)?;
        Publication::of(bundle, contents.version)?
    };
    let mut session = Session::open(connect(&parties)?, broker, &client_id(&publication))?;
    let bar = context.output.progress(scopes.len() as u64 * contents.length());
    let left: Result<(), _> = scopes
        .iter()
        .try_for_each(|scope| publication.leave(&mut session, scope, args.expiry, &mut |count| bar.inc(count)));
    bar.finish_and_clear();
    left?;
    let mut cleared = 0;
    if args.clean {
        for scope in &scopes {
            cleared += publication.clean(&mut session, scope)?;
        }
    }
    session.close()?;
    let what = match publication.bundle() {
        Some(_) => {
            format!("left with the broker: {} in {}", bytes(contents.length()), count(publication.count(), "chunk"))
        }
        None => format!("{} is too long for a broker: announced, to be pulled", bytes(contents.length())),
    };
    context.output.say(format!("Timestamp {} {what}.", contents.version));
    let value = json!({
        "broker": broker, "sha256": publication.bundle(), "length": contents.length(), "chunks": publication.count(),
        "timestamp": contents.version, "appliances": contents.addressed, "cleared": cleared,
        "to": scopes.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    context.output.data(&value, broker.to_string());
    Ok(Exit::DONE)
}

/// One for each publication, so that two publishers do not throw each other out.
fn client_id(publication: &Publication) -> String {
    let bundle = publication.bundle().map_or_else(String::new, |bundle| bundle.to_string());
    format!("casemate-pack-{}-{}", std::process::id(), bundle.chars().take(8).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::expiry;

    #[test]
    fn times_are_days_or_hours() {
        assert_eq!(expiry("30d"), Ok(2_592_000));
        assert_eq!(expiry("12h"), Ok(43_200));
        for text in ["", "0d", "30", "d", "1w", "-1d", "99999999d", "1.5d"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }
}
