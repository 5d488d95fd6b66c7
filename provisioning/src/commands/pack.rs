//! `casemate pack`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use casemate_protocol::broker::Scope;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{ApplianceId, Name};
use casemate_protocol::tuf::role::Version;
use serde_json::json;

use super::check::judge;
use super::publish;
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::{bytes, count};
use crate::pack::archive;
use crate::pack::tree::{self, Unnamed};
use crate::pack::{Contents, Selection};
use crate::repository::{Place, State};
use crate::site::Site;
use crate::site::finding::{Finding, nearest};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Destination,
    /// Only for this appliance; may be given several times
    #[arg(short, long = "appliance", value_name = "ID")]
    appliances: Vec<ApplianceId>,
    /// Only for the confirmed appliances of this group; may be given several times
    #[arg(short, long = "group", value_name = "GROUP")]
    groups: Vec<Name>,
    /// Leave out roots before this version: for appliances known to hold it
    #[arg(long, value_name = "VERSION", default_value_t = 1)]
    since_root: u64,
    /// Take away from the web server's folder what neither this state nor the one before names
    #[arg(long, requires = "dir")]
    prune: bool,
    #[command(flatten)]
    broker: publish::Leaving,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Destination {
    /// The stick: the bundle goes to its folder `in`
    #[arg(long, value_name = "DIR")]
    stick: Option<PathBuf>,
    /// A plain folder for the bundle: to be pushed, or carried by other means
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// A folder that a web server serves: the whole repository, for appliances that pull
    #[arg(long, value_name = "DIR", conflicts_with_all = ["appliances", "groups", "since_root"])]
    dir: Option<PathBuf>,
    /// An MQTT broker: an address, never a name
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    mqtt: Option<SocketAddr>,
}

/// An address as it stands: there is no resolver in this program.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "names are not resolved; write an address such as 10.20.0.6:8883".into())
}

impl Destination {
    fn folder(&self) -> PathBuf {
        match (&self.stick, &self.bundle) {
            (Some(stick), _) => stick.join("in"),
            (None, folder) => folder.clone().unwrap_or_default(),
        }
    }
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let site = Site::read(context.layout()?)?;
    let state = State::read(Place::new(site.layout.repository()))?;
    if let Some(folder) = &args.place.dir {
        return publish(context, &site, &state, folder, if args.prune { Unnamed::Pruned } else { Unnamed::Kept });
    }
    let since = since(args, &state)?;
    let contents = Contents::of(&state, &selection(&site, args)?, since)?;
    // Judged from root 1, whatever roots the appliances are said to hold.
    let whole = if since == Version::FIRST {
        contents.clone()
    } else {
        Contents::of(&state, &selection(&site, args)?, Version::FIRST)?
    };
    let bar = context.output.progress(2 * contents.length());
    let judged = judge(context, &site, &state, &whole, &mut |count| bar.inc(count));
    if let Some(broker) = args.place.mqtt {
        bar.finish_and_clear();
        judged?;
        return publish::run(context, &args.broker, broker, &contents);
    }
    let written =
        judged.and_then(|_| Ok(archive::write(&contents, &args.place.folder(), &mut |count| bar.inc(count))?));
    bar.finish_and_clear();
    let written = written?;
    context.output.say(format!(
        "Packed timestamp {} for {}: {}.",
        contents.version,
        count(contents.addressed.len(), "appliance"),
        bytes(written.length)
    ));
    let value = json!({
        "file": written.path, "sha256": written.digest, "length": written.length,
        "timestamp": contents.version, "appliances": contents.addressed,
    });
    context.output.data(&value, written.path.display().to_string());
    Ok(Exit::DONE)
}

/// The whole repository into a web server's folder.
fn publish(context: &Context, site: &Site, state: &State, folder: &Path, unnamed: Unnamed) -> Result<Exit, Failure> {
    let contents = Contents::of(state, &Selection::Everybody, Version::FIRST)?;
    let bar = context.output.progress(2 * contents.length());
    let judged = judge(context, site, state, &contents, &mut |count| bar.inc(count));
    let published = judged.and_then(|_| Ok(tree::publish(state, folder, unnamed, &mut |count| bar.inc(count))?));
    bar.finish_and_clear();
    let published = published?;
    let pruned = if unnamed == Unnamed::Pruned { format!(", {} pruned", published.pruned) } else { String::new() };
    context.output.say(format!(
        "Published timestamp {} for {}: {} written ({}), {} there already{pruned}.",
        contents.version,
        count(contents.addressed.len(), "appliance"),
        count(published.written, "file"),
        bytes(published.length),
        published.kept,
    ));
    let value = json!({
        "folder": folder, "timestamp": contents.version, "appliances": contents.addressed,
        "written": published.written, "length": published.length, "kept": published.kept, "pruned": published.pruned,
    });
    context.output.data(&value, folder.display().to_string());
    Ok(Exit::DONE)
}

fn selection(site: &Site, args: &Args) -> Result<Selection, Failure> {
    let (mut appliances, mut groups) = (args.appliances.clone(), args.groups.clone());
    if args.place.mqtt.is_some() {
        // Whoever reads the topic is addressed, and nobody else.
        for scope in args.broker.scopes()? {
            match scope {
                Scope::Appliance(id) => appliances.push(id),
                Scope::Group(group) => groups.push(group),
            }
        }
    }
    if appliances.is_empty() && groups.is_empty() {
        return Ok(Selection::Everybody);
    }
    let known: Vec<_> = site.groups.keys().map(Name::as_str).collect();
    if let Some(group) = groups.iter().find(|group| !site.groups.contains_key(*group)) {
        let what = format!("there is no group {group}");
        return Err(Finding::new("--group", 0, what, nearest(group.as_str(), &known)).into());
    }
    let of_groups = site.confirmed().filter(|(row, _)| row.groups.iter().any(|group| groups.contains(group)));
    let mut only: BTreeSet<_> = of_groups.map(|(row, _)| row.id.clone()).collect();
    only.extend(appliances);
    Ok(Selection::Only(only))
}

fn since(args: &Args, state: &State) -> Result<Version, NoSuchRoot> {
    let newest = state.root.signed.version;
    Version::new(args.since_root).filter(|since| *since <= newest).ok_or(NoSuchRoot { asked: args.since_root, newest })
}

/// A root that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("there is no root {asked}, the newest is {newest}")]
struct NoSuchRoot {
    asked: u64,
    newest: Version,
}

impl Explain for NoSuchRoot {
    fn code(&self) -> Code {
        Code::UsageInvalid
    }
}
